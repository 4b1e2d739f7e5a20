// What is to be sent, and has nowhere to go.
extension MeshAnalysis {
  mutating func lookAtTelemetry() {
    let all: [(key: ResourceKey, spec: TelemetrySpec)] = objects.compactMap { object in
      (object.resource.spec as? TelemetrySpec).map { (object.resource.key, $0) }
    }
    for (key, spec) in all {
      for (index, target) in spec.targetRefs.enumerated() {
        lookAtTarget(kind: target.kind, name: target.name, of: key, at: "spec.targetRefs[\(index)]")
      }
      // What may hold for the same workloads, wider or as narrow.
      let others = all.filter { other in
        let isOfMesh = other.key.namespace == PeerAuthenticationSpec.meshNamespace && other.spec.isWide
        return other.key.namespace == key.namespace || isOfMesh
      }.map(\.spec)
      if others.contains(where: { $0.exporter != nil }) { continue }
      func tell(_ path: String, _ what: String) {
        add(
          .nowhereToSend, key, path, "\(what) are sent nowhere: no Telemetry that holds here names a collector",
          mend: "set spec.exporter.endpoint here, or in a Telemetry of the namespace or the mesh", isReference: true)
      }
      if let tracing = spec.tracing, tracing.disabled != true, !others.contains(where: { $0.tracing?.exporter != nil })
      {
        tell("spec.tracing", "spans")
      }
      for (index, log) in spec.accessLogging.enumerated() where log.destination == .otlp && log.disabled != true {
        tell("spec.accessLogging[\(index)]", "lines")
      }
      if let metrics = spec.metrics, metrics.disabled != true, !others.contains(where: { $0.metrics?.exporter != nil })
      {
        tell("spec.metrics", "metrics")
      }
    }
  }
}

extension TelemetrySpec {
  /// Whether it holds for a whole namespace, or for the mesh.
  fileprivate var isWide: Bool { selector == nil && targetRefs.isEmpty }
}
