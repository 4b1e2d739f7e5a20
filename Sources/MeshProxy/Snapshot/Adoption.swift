// Unsafe by design: what the traffic path reads of a configuration, as plain pointers without reference counts.
internal import CMeshSystem
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

/// A configuration on its way to be taken up by a worker, a few clusters at a time: requests go on meanwhile by the
/// generation before it. Clusters and endpoints that were there keep their connections and what was learned.
struct GenerationBuilder {
  let configuration: CompiledConfiguration
  private let clusters: UnsafeMutablePointer<ClusterRef>
  private let routes: UnsafeMutablePointer<UnsafePointer<RouteTableView>?>
  private let numbers: UnsafeMutablePointer<UnsafeMutablePointer<UInt32>?>
  private let streams: UnsafeMutablePointer<UnsafePointer<StreamTableView>?>
  private let streamNumbers: UnsafeMutablePointer<UnsafeMutablePointer<UInt32>?>
  private let count: Int
  private var next = 0

  init(_ configuration: CompiledConfiguration) {
    self.configuration = configuration
    count = configuration.clusters.count
    clusters = .allocate(capacity: max(1, count))
    routes = .allocate(capacity: max(1, count))
    numbers = .allocate(capacity: max(1, count))
    streams = .allocate(capacity: max(1, count))
    streamNumbers = .allocate(capacity: max(1, count))
  }

  /// Takes clusters up until `deadline` (monotonic nanoseconds) or all are done; true: they are.
  mutating func advance(until deadline: UInt64, endpoints: EndpointRegistry, labels: LabelDictionary) -> Bool {
    while next < count {
      take(configuration.clusters[next], next, endpoints, labels)
      next += 1
      if next < count, cms_monotonic_nanoseconds() >= deadline { return false }
    }
    return true
  }

  private func take(_ spec: ClusterSpec, _ index: Int, _ endpoints: EndpointRegistry, _ labels: LabelDictionary) {
    (clusters + index).initialize(to: endpoints.take(configuration, index))
    let view = spec.routes.map { Self.copy($0.view) }
    (numbers + index).initialize(to: view.map { Self.numbers(of: $0.pointee, spec.service, labels) })
    (routes + index).initialize(to: view)
    (streams + index).initialize(to: spec.streams.map { Self.copy($0.view) })
    (streamNumbers + index).initialize(to: spec.streams.map { Self.numbers(of: $0.view, spec.service, labels) })
  }

  /// The generation, once all clusters are there.
  func finish() -> GenerationRef {
    let listeners = configuration.listenerClusters
    let listenerClusters = UnsafeMutablePointer<Int32>.allocate(capacity: max(1, listeners.count))
    for (index, number) in listeners.enumerated() { (listenerClusters + index).initialize(to: number) }
    let generation = GenerationRef.allocate(capacity: 1)
    generation.initialize(
      to: Generation(
        configuration: .passRetained(configuration), hosts: UnsafePointer(configuration.hosts.view), clusters: clusters,
        clusterCount: count, routes: routes, routeNumbers: numbers, streamRoutes: streams,
        streamNumbers: streamNumbers, listenerClusters: listenerClusters,
        listenerCount: listeners.count, gates: GateTable(configuration.clusters)))
    return generation
  }

  private static func numbers(
    of view: RouteTableView, _ service: String, _ labels: LabelDictionary
  ) -> UnsafeMutablePointer<UInt32> {
    let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, view.rules.count))
    for (index, rule) in view.rules.enumerated() {
      (numbers + index).initialize(
        to: labels.route(String(decoding: view.text(rule.label), as: UTF8.self), asked: service))
    }
    return numbers
  }

  private static func numbers(
    of view: StreamTableView, _ service: String, _ labels: LabelDictionary
  ) -> UnsafeMutablePointer<UInt32> {
    let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, view.rules.count))
    for (index, rule) in view.rules.enumerated() {
      (numbers + index).initialize(
        to: labels.route(String(decoding: view.text(rule.label), as: UTF8.self), asked: service))
    }
    return numbers
  }

  private static func copy<View>(_ view: View) -> UnsafePointer<View> {
    let copy = UnsafeMutablePointer<View>.allocate(capacity: 1)
    copy.initialize(to: view)
    return UnsafePointer(copy)
  }
}

/// The configurations that a worker has been given and has not taken up yet.
struct Adoptions {
  /// The one that is being taken up.
  fileprivate var current: GenerationBuilder?
  /// The newest, where there is one after it; those between are passed over.
  fileprivate var waiting: CompiledConfiguration?
  /// Who waits for the current one, and for the one after it.
  fileprivate var done: [@Sendable () -> Void] = []
  fileprivate var doneLater: [@Sendable () -> Void] = []
}

extension Worker {
  /// Makes `configuration` the one that new requests begin with, over as many turns of the loop as it takes. Requests
  /// under way keep theirs.
  /// - Parameter done: called once it, or a newer one, is in force.
  package func adopt(_ configuration: CompiledConfiguration, done: @escaping @Sendable () -> Void = {}) {
    guard adoptions.current == nil else {
      adoptions.waiting = configuration
      adoptions.doneLater.append(done)
      return
    }
    adoptions.current = GenerationBuilder(configuration)
    adoptions.done.append(done)
    goOnAdopting()
  }

  private func goOnAdopting() {
    let deadline = cms_monotonic_nanoseconds() &+ settings.adoptionSliceNanoseconds
    guard adoptions.current?.advance(until: deadline, endpoints: endpoints, labels: labels) == true,
      let builder = adoptions.current
    else {
      // What has left its cluster may be freed before the next turn.
      closeRemoved()
      return submit { [unowned self] in goOnAdopting() }
    }
    let old = generation
    generation = builder.finish()
    telemetry.adopt(builder.configuration)
    noteRequestPolicies()
    if old.pointee.exchangeCount == 0 { Generation.release(old, endpoints: endpoints) } else { retired.append(old) }
    closeRemoved()
    // A new endpoint, or a raised limit, may be what somebody waits for.
    for index in 0..<generation.pointee.clusterCount { startWaiting(generation.pointee.clusters[index]) }
    let finished = adoptions.done
    let waiting = adoptions.waiting
    adoptions.done = adoptions.doneLater
    adoptions.doneLater = []
    adoptions.waiting = nil
    adoptions.current = waiting.map { GenerationBuilder($0) }
    for done in finished { done() }
    if waiting != nil { submit { [unowned self] in goOnAdopting() } }
  }
}
