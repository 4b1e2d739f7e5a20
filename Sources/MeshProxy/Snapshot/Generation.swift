// Unsafe by design: what the traffic path reads of a configuration, as plain pointers without reference counts.
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS
internal import MeshTelemetry

typealias GenerationRef = UnsafeMutablePointer<Generation>

/// One configuration as one worker uses it. A request keeps the generation it began with; the memory goes when the last
/// one ends.
struct Generation {
  /// Keeps everything below alive.
  let configuration: Unmanaged<CompiledConfiguration>
  let hosts: UnsafePointer<HostTableView>
  let clusters: UnsafeMutablePointer<ClusterRef>
  let clusterCount: Int
  /// For each cluster its route table; nil: no route is attached.
  let routes: UnsafeMutablePointer<UnsafePointer<RouteTableView>?>
  /// For each cluster the label numbers of its rules.
  let routeNumbers: UnsafeMutablePointer<UnsafeMutablePointer<UInt32>?>
  /// For each cluster the rules for connections to it; nil: no TCPRoute or TLSRoute is attached.
  let streamRoutes: UnsafeMutablePointer<UnsafePointer<StreamTableView>?>
  /// For each cluster the label numbers of those rules.
  let streamNumbers: UnsafeMutablePointer<UnsafeMutablePointer<UInt32>?>
  let listenerClusters: UnsafeMutablePointer<Int32>
  let listenerCount: Int
  /// For each cluster the limits and faults of its service, and those of its rules; nil: none at all.
  let gates: GateTable?
  /// Exchanges that began with it and have not ended.
  var exchangeCount = 0

  /// The number of the cluster that a listener leads to; -1: none.
  func clusterNumber(ofListener index: Int32) -> Int32 {
    index >= 0 && Int(index) < listenerCount ? listenerClusters[Int(index)] : -1
  }

  /// The cluster with this number in the configuration, with its endpoints.
  func cluster(_ number: Int32) -> ClusterRef? {
    guard number >= 0, Int(number) < clusterCount else { return nil }
    let cluster = clusters[Int(number)]
    if cluster.pointee.dormant != nil { EndpointRegistry.wake(cluster) }
    return cluster
  }

  /// The route table of a cluster.
  func routes(_ number: Int32) -> UnsafePointer<RouteTableView>? {
    number >= 0 && Int(number) < clusterCount ? routes[Int(number)] : nil
  }

  /// The rules for connections to a cluster.
  func streams(_ number: Int32) -> UnsafePointer<StreamTableView>? {
    number >= 0 && Int(number) < clusterCount ? streamRoutes[Int(number)] : nil
  }

  /// The label number of one of those rules; 0: there is none.
  func streamNumber(_ number: Int32, _ rule: Int32) -> UInt32 {
    guard number >= 0, Int(number) < clusterCount, let numbers = streamNumbers[Int(number)] else { return 0 }
    return numbers[Int(rule)]
  }

  /// The name of the rule with this label number among those for connections to a cluster; empty: there is none.
  func streamRoute(of cluster: ClusterRef?, _ label: UInt32) -> UnsafeBufferPointer<UInt8> {
    let number = number(of: cluster)
    if let table = streams(number) {
      for rule in table.pointee.rules.indices where streamNumber(number, Int32(truncatingIfNeeded: rule)) == label {
        return table.pointee.text(table.pointee.rules[rule].label)
      }
    }
    return UnsafeBufferPointer(start: nil, count: 0)
  }

  /// The number of a cluster in this configuration; -1: it is not one of it.
  func number(of cluster: ClusterRef?) -> Int32 {
    guard let cluster else { return -1 }
    for index in 0..<clusterCount where clusters[index] == cluster { return Int32(truncatingIfNeeded: index) }
    return -1
  }

  /// Lets one cluster go, and what is held for it; no exchange may use the generation any more.
  static func letGo(_ generation: GenerationRef, _ index: Int, endpoints: EndpointRegistry) {
    endpoints.letGo(generation.pointee.clusters[index])
    generation.pointee.routes[index].map { UnsafeMutablePointer(mutating: $0).deallocate() }
    generation.pointee.routeNumbers[index]?.deallocate()
    generation.pointee.streamRoutes[index].map { UnsafeMutablePointer(mutating: $0).deallocate() }
    generation.pointee.streamNumbers[index]?.deallocate()
  }

  /// Frees the rest, once all clusters have been let go.
  static func free(_ generation: GenerationRef) {
    generation.pointee.streamRoutes.deallocate()
    generation.pointee.streamNumbers.deallocate()
    generation.pointee.routeNumbers.deallocate()
    generation.pointee.clusters.deallocate()
    generation.pointee.routes.deallocate()
    generation.pointee.listenerClusters.deallocate()
    generation.pointee.gates?.deallocate()
    generation.pointee.configuration.release()
    generation.deallocate()
  }
}

extension Worker {
  /// The last exchange of an older generation has ended.
  func releaseRetired(_ generation: GenerationRef) {
    retired.removeAll { $0 == generation }
    releaseLater(generation)
  }

  /// Closes what idles at endpoints that no configuration names any more.
  func closeRemoved() {
    for endpoint in endpoints.takeRemoved() {
      // Kept alive by a use of its own, since closing its last connection would free it under our hands.
      endpoint.pointee.exchangeCount &+= 1
      closeIdle(endpoint)
      endpoint.pointee.exchangeCount &-= 1
      releaseIfUnused(endpoint)
    }
  }
}
