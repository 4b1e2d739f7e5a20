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
  private let gates: GateTable?
  private let count: Int
  private var next = 0

  init(_ configuration: CompiledConfiguration) {
    self.configuration = configuration
    count = configuration.clusters.count
    gates = GateTable(configuration.clusters)
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
    (numbers + index).initialize(
      to: view.map { view in
        let rules = view.pointee.rules
        return Self.numbers(rules.count, of: spec.service, labels) { view.pointee.text(rules[$0].label) }
      })
    (routes + index).initialize(to: view)
    (streams + index).initialize(to: spec.streams.map { Self.copy($0.view) })
    (streamNumbers + index).initialize(
      to: spec.streams.map { streams in
        let view = streams.view
        return Self.numbers(view.rules.count, of: spec.service, labels) { view.text(view.rules[$0].label) }
      })
    gates?.fill(index, spec)
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
        listenerCount: listeners.count, gates: gates))
    return generation
  }

  /// The numbers of a service's rules for the label `route_name`.
  private static func numbers(
    _ count: Int, of service: String, _ labels: LabelDictionary, name: (Int) -> UnsafeBufferPointer<UInt8>
  ) -> UnsafeMutablePointer<UInt32> {
    let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, count))
    for index in 0..<count {
      (numbers + index).initialize(to: labels.route(String(decoding: name(index), as: UTF8.self), asked: service))
    }
    return numbers
  }

  private static func copy<View>(_ view: View) -> UnsafePointer<View> {
    let copy = UnsafeMutablePointer<View>.allocate(capacity: 1)
    copy.initialize(to: view)
    return UnsafePointer(copy)
  }
}

/// The configurations that a worker has been given and has not taken up yet, and those that it has left.
struct Adoptions {
  /// The one that is being taken up, or has been and is looked after.
  fileprivate var current: GenerationBuilder?
  /// How many clusters of the generation in force have been looked after since it came into force; nil: it is not yet.
  fileprivate var settled: Int?
  /// The newest, where there is one after it; those between are passed over.
  fileprivate var waiting: CompiledConfiguration?
  /// Who waits for the current one, and for the one after it.
  fileprivate var done: [@Sendable () -> Void] = []
  fileprivate var doneLater: [@Sendable () -> Void] = []
  /// Generations that nothing uses any more; the first is being taken apart.
  fileprivate var leaving: [GenerationRef] = []
  /// How many of its clusters have been let go.
  fileprivate var left = 0
}

/// A configuration of a thousand services takes some milliseconds to be taken up, looked after, and taken apart. Every step
/// of that stays within `ProxySettings.adoptionSliceNanoseconds`, and a pause follows in which requests come: a worker that
/// went on and on would use up its turn of the processor, and lose it to the side thread in the middle of a request.
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
    goOnWithConfigurations()
  }

  /// From the end of one step to the beginning of the next, nanoseconds.
  private static let adoptionPause: UInt64 = 1_000_000

  /// Takes the next step, if there is one.
  func goOnWithConfigurations() {
    if adoptions.settled != nil {
      goOnSettling()
    } else if adoptions.current != nil {
      goOnAdopting()
    } else if !adoptions.leaving.isEmpty {
      goOnReleasing()
    }
    closeRemoved()
    guard adoptions.current != nil || !adoptions.leaving.isEmpty else { return }
    timers.arm(adoptionTimer, deadline: now &+ Self.adoptionPause)
  }

  private var sliceEnd: UInt64 { cms_monotonic_nanoseconds() &+ settings.adoptionSliceNanoseconds }

  private func goOnAdopting() {
    guard adoptions.current?.advance(until: sliceEnd, endpoints: endpoints, labels: labels) == true,
      let builder = adoptions.current
    else { return }
    let old = generation
    generation = builder.finish()
    telemetry.adopt(builder.configuration)
    adoptions.settled = 0
    if old.pointee.exchangeCount == 0 { releaseLater(old) } else { retired.append(old) }
    let finished = adoptions.done
    adoptions.done = []
    for done in finished { done() }
  }

  /// Looks after the clusters of the configuration that has come into force.
  private func goOnSettling() {
    let deadline = sliceEnd
    var index = adoptions.settled ?? 0
    while index < generation.pointee.clusterCount {
      noteRequestPolicy(index)
      // A new endpoint, or a raised limit, may be what somebody waits for.
      startWaiting(generation.pointee.clusters[index])
      index += 1
      if cms_monotonic_nanoseconds() >= deadline { break }
    }
    guard index == generation.pointee.clusterCount else { return adoptions.settled = index }
    adoptions.settled = nil
    adoptions.done = adoptions.doneLater
    adoptions.doneLater = []
    adoptions.current = adoptions.waiting.map { GenerationBuilder($0) }
    adoptions.waiting = nil
  }

  /// Takes a generation apart that no exchange uses.
  func releaseLater(_ generation: GenerationRef) {
    adoptions.leaving.append(generation)
    timers.arm(adoptionTimer, deadline: now &+ Self.adoptionPause)
  }

  private func goOnReleasing() {
    guard let generation = adoptions.leaving.first else { return }
    let deadline = sliceEnd
    while adoptions.left < generation.pointee.clusterCount {
      Generation.letGo(generation, adoptions.left, endpoints: endpoints)
      adoptions.left += 1
      if cms_monotonic_nanoseconds() >= deadline { break }
    }
    guard adoptions.left == generation.pointee.clusterCount else { return }
    Generation.free(generation)
    adoptions.leaving.removeFirst()
    adoptions.left = 0
  }
}
