import Hummingbird
package import MeshControl

/// Reads texts for the analysis: objects with their positions, and what cannot be read as findings.
package enum AnalysisReader {
  /// - Parameter namespace: for objects that name none.
  package static func read(
    _ bytes: [UInt8], namespace: String
  ) -> (objects: [MeshAnalysis.Object], findings: [Finding]) {
    let read = DocumentReader.read(bytes, namespace: namespace)
    let objects = read.entries.map { MeshAnalysis.Object($0.resource, document: $0.value) }
    return (objects, read.violations.map(finding))
  }

  /// A violation's message ends with how to mend it, after the last semicolon.
  private static func finding(_ violation: Violation) -> Finding {
    let parts = violation.message.split(separator: "; ", omittingEmptySubsequences: false).map(String.init)
    let mend = parts.count > 1 ? parts[parts.count - 1] : "correct it there"
    let message = parts.count > 1 ? parts.dropLast().joined(separator: "; ") : violation.message
    return Finding(
      .invalid, object: nil, path: violation.path, message, mend: mend, line: violation.position?.line)
  }
}

/// `GET analyze`: findings about what is stored. `POST analyze`: findings about the objects of the body, as if they were
/// stored already; nothing is.
struct AnalysisAnswer {
  let responder: APIResponder

  func answer(_ request: Request) async throws -> Response {
    let sources = responder.sources
    let workloads = await sources.workloads.knownWorkloads().map(\.workload)
    let world = MeshAnalysis.World(workloads: workloads, isComplete: true)
    let stored = try await sources.store.resources(nil, namespace: nil).items.map { MeshAnalysis.Object($0) }
    switch request.method {
    case .get: return Self.response(MeshAnalysis.findings(stored, world: world))
    case .post:
      let namespace = request.parameter("namespace").flatMap { $0.isEmpty ? nil : $0 } ?? "default"
      if let fault = TextFormat.dnsLabel.fault(in: namespace) {
        throw StatusAnswer.badRequest("the parameter namespace \(fault)")
      }
      let read = AnalysisReader.read(try await responder.body(of: request), namespace: namespace)
      let keys = Set(read.objects.map(\.resource.key))
      let rest = stored.filter { !keys.contains($0.resource.key) }
      let found = MeshAnalysis.findings(rest + read.objects, world: world)
      return Self.response(read.findings + found.filter { $0.object.map(keys.contains) ?? true })
    default: throw StatusAnswer.methodNotAllowed("\(request.method) is not served at analyze; use GET or POST")
    }
  }

  private static func response(_ findings: [Finding]) -> Response {
    APIResponder.json(.object([Value.Member("items", .list(findings.map(\.value)))]))
  }
}
