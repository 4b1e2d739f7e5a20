// Unsafe by design: connections are plain structs.
internal import Glibc
internal import MeshPolicy
internal import MeshReactor

extension Worker {
  /// Takes no new connections, lets what is under way finish, then calls `done` on the worker's thread. Connections are
  /// told with `Connection: close`; what is left at `deadline` (monotonic nanoseconds) is closed.
  package func drain(until deadline: UInt64, done: @escaping @Sendable () -> Void) {
    guard !isDraining else { return }
    isDraining = true
    drainDeadline = deadline
    drained = done
    for listener in listeners {
      // What waits in the kernel's queue is taken first, so that nobody who was let in is turned away.
      guard let connection = listener.connection else { continue }
      accept(on: connection)
      close(connection.pointee.fd)
    }
    listeners.indices.forEach { listeners[$0].connection = nil }
    var current = downstreamHead
    while let connection = current {
      current = connection.pointee.next
      if connection.pointee.exchange == nil, connection.pointee.role == .downstreamHTTP1,
        connection.pointee.scanned == 0, connection.pointee.input.isEmpty, connection.pointee.exchangeCount > 0
      {
        closeAfterFlush(connection)
      }
    }
    for cluster in endpoints.clusters {
      for index in 0..<Int(cluster.pointee.set.count) { closeIdle(cluster.pointee.endpoints[index]) }
    }
  }

  /// Whether everything has ended, or the time is up.
  func checkDrained() {
    guard downstreamCount == 0 || now >= drainDeadline, let done = drained else { return }
    drained = nil
    while let connection = downstreamHead { broken(connection) }
    done()
  }
}
