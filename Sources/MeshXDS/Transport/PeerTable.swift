import Synchronization

/// The peers of the connections that are open, by the addresses of both ends.
///
/// gRPC names the two addresses of a call's connection and nothing else of it. While a connection is open its pair of
/// addresses is its own; after its end the pair is barred for a moment, so that a call of the old connection, handled
/// late, can never be taken for one of a new connection.
final class PeerTable: Sendable {
  /// The two ends of a connection.
  struct Ends: Hashable, Sendable {
    var remote: String
    var local: String
  }

  /// One connection, from being accepted to its end.
  final class Connection: Sendable {
    private let state = Mutex(Peer.anonymous)

    /// Who is there. Set once, when the handshake has shown it.
    var peer: Peer {
      get { state.withLock { $0 } }
      set { state.withLock { $0 = newValue } }
    }
  }

  private struct State {
    var open: [Ends: Connection] = [:]
    var barred: Set<Ends> = []
  }

  private let state = Mutex(State())

  /// A connection for these ends; nil if the pair is barred: the connection is to be closed.
  func open(_ ends: Ends) -> Connection? {
    state.withLock { state in
      guard !state.barred.contains(ends), state.open[ends] == nil else { return nil }
      let connection = Connection()
      state.open[ends] = connection
      return connection
    }
  }

  /// The connection has ended; `unbar` is to follow after a moment.
  func close(_ ends: Ends) {
    state.withLock { state in
      if state.open.removeValue(forKey: ends) != nil { state.barred.insert(ends) }
    }
  }

  /// The pair may be used again.
  func unbar(_ ends: Ends) { _ = state.withLock { $0.barred.remove(ends) } }

  /// Who is at the other end; anonymous if the connection has gone.
  func peer(at ends: Ends) -> Peer { state.withLock { $0.open[ends] }?.peer ?? .anonymous }
}
