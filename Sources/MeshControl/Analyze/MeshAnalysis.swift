/// Looks through a configuration for what does not do what it seems to. Pure: objects in, findings out, in a fixed order.
///
/// It works on the objects' documents, so that what it says of a route holds for every kind of route.
package struct MeshAnalysis: Sendable {
  /// What is known beside the objects.
  package struct World: Sendable {
    /// The workloads that run; nil where that is not known, as with files alone.
    package var workloads: [MeshWorkload]?
    /// Whether the objects are all there are: what is not among them does not exist. For files alone that is not sure,
    /// and references that lead out of them are warnings.
    package var isComplete: Bool

    package init(workloads: [MeshWorkload]?, isComplete: Bool) {
      self.workloads = workloads
      self.isComplete = isComplete
    }
  }

  /// An object, and where it came from.
  package struct Object: Sendable {
    package var resource: Resource
    /// As it was read, with positions; nil for stored objects.
    package var document: Value?

    package init(_ resource: Resource, document: Value? = nil) {
      self.resource = resource
      self.document = document
    }
  }

  let objects: [Object]
  let world: World
  let services: [ServiceName: ServiceSpec]
  let routes: [RouteView]
  private(set) var findings: [Finding] = []

  private init(_ objects: [Object], _ world: World) {
    self.objects = objects.sorted { $0.resource.key < $1.resource.key }
    self.world = world
    var services: [ServiceName: ServiceSpec] = [:]
    for object in objects {
      guard let spec = object.resource.spec as? ServiceSpec else { continue }
      services[ServiceName(namespace: object.resource.metadata.namespace, name: object.resource.metadata.name)] = spec
    }
    self.services = services
    routes = self.objects.compactMap { RouteView($0.resource) }
  }

  /// Everything that there is to say, in order of the objects; of one object, in order of place and code.
  package static func findings(_ objects: [Object], world: World) -> [Finding] {
    var analysis = MeshAnalysis(objects, world)
    analysis.lookAtReferences()
    analysis.lookAtMatches()
    analysis.lookAtKinds()
    analysis.lookAtWeights()
    analysis.lookAtTimes()
    analysis.lookAtMirrors()
    analysis.lookAtSelectors()
    analysis.lookAtPolicies()
    analysis.lookAtBackendTLS()
    analysis.lookAtLimits()
    analysis.lookAtSplits()
    analysis.lookAtRollouts()
    analysis.lookAtTelemetry()
    return analysis.located
  }

  /// Notes a finding.
  /// - Parameter isReference: whether it is one only if the objects are all there are.
  mutating func add(
    _ code: FindingCode, _ object: ResourceKey, _ path: String, _ message: String, mend: String,
    isReference: Bool = false
  ) {
    let severity: Finding.Severity? = isReference && !world.isComplete ? .warning : nil
    findings.append(Finding(code, severity: severity, object: object, path: path, message, mend: mend))
  }

  private var located: [Finding] {
    var documents: [ResourceKey: Value] = [:]
    for object in objects {
      if let document = object.document { documents[object.resource.key] = document }
    }
    let withLines = findings.map { finding in
      var finding = finding
      if let key = finding.object, let document = documents[key] {
        finding.line = document.position(of: finding.path)?.line
      }
      return finding
    }
    return withLines.enumerated().sorted { left, right in
      let (a, b) = (left.element, right.element)
      if a.object != b.object, let first = a.object, let second = b.object { return first < second }
      return (a.path, a.code.rawValue, left.offset) < (b.path, b.code.rawValue, right.offset)
    }.map(\.element)
  }

  func name(_ key: ResourceKey) -> String { "\(key.groupKind.kind) \(key.namespace)/\(key.name)" }
}

extension Value {
  /// Where the value at a path such as `spec.rules[0].backendRefs[1].port` stands; where there is no such value, the
  /// nearest one above it.
  package func position(of path: String) -> Position? {
    var value = self
    var found = position
    var rest = path[...]
    while !rest.isEmpty {
      if rest.hasPrefix(".") { rest = rest.dropFirst() }
      if rest.hasPrefix("[") {
        let digits = rest.dropFirst().prefix { $0 != "]" }
        rest = rest.dropFirst(digits.count + 2)
        guard let index = Int(digits), let elements = value.elements, elements.indices.contains(index) else { break }
        value = elements[index]
      } else {
        let name = rest.prefix { $0 != "." && $0 != "[" }
        rest = rest.dropFirst(name.count)
        guard let member = value[String(name)] else { break }
        value = member
      }
      found = value.position ?? found
    }
    return found
  }
}
