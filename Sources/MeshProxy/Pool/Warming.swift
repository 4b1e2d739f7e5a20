// Unsafe by design: endpoints' states are plain structs.
internal import MeshPolicy

/// Slow start: endpoints that are new grow into their share.
enum Warming {
  /// Sets the weights of a cluster's endpoints by their age.
  static func update(_ cluster: ClusterRef, now: UInt64) {
    guard let start = cluster.pointee.slowStart else { return }
    var isWarming = false
    for index in 0..<Int(cluster.pointee.set.count) {
      let endpoint = cluster.pointee.endpoints[index]
      let age = endpoint.pointee.since == 0 ? Int64.max : Int64(bitPattern: now &- endpoint.pointee.since)
      if !start.isWarm(age: age) { isWarming = true }
      cluster.pointee.set.base[index].weight = start.weight(endpoint.pointee.weight, age: age)
    }
    cluster.pointee.isWarming = isWarming
    cluster.pointee.set.recount()
  }
}
