// Unsafe by design: connections are plain structs.
internal import CMeshSystem
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
      // It may be waiting for descriptors, and must not come back.
      timers.remove(UnsafeMutableRawPointer(connection).assumingMemoryBound(to: WheelTimer.self))
      cms_close(connection.pointee.fd)
    }
    for index in listeners.indices { listeners[index].connection = nil }
    closeQuiet()
    drainSessions()
    for cluster in endpoints.clusters {
      for index in 0..<Int(cluster.pointee.set.count) { closeIdle(cluster.pointee.endpoints[index]) }
    }
  }

  /// Tells clients on HTTP/2 that no new streams are taken (RFC 9113, section 6.8).
  private func drainSessions() {
    var current = sessionHead
    while let session = current {
      current = session.pointee.next
      let connection = session.pointee.connection
      if connection.pointee.role == .downstreamHTTP2, !connection.pointee.flags.contains(.dead) {
        drainSession(connection, session)
      }
    }
  }

  /// Closes clients' connections that have been quiet for a second: one that was used a moment ago may have its next
  /// request on the way, and is told `Connection: close` in the answer instead.
  func closeQuiet() {
    var current = downstreamHead
    while let connection = current {
      current = connection.pointee.next
      if connection.pointee.exchange == nil, connection.pointee.role == .downstreamHTTP1,
        connection.pointee.scanned == 0, connection.pointee.input.isEmpty,
        now &- connection.pointee.restingSince >= 1_000_000_000
      {
        closeAfterFlush(connection)
      }
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
