// Unsafe by design: connections are plain structs.
internal import MeshHTTP
internal import MeshModel
internal import MeshReactor
internal import MeshTelemetry
internal import Synchronization

/// Ports on which the server speaks first, as the workers of a proxy have learned them.
package final class LearnedPorts: Sendable {
  private let keys = Mutex<Set<String>>([])

  package init() {}

  func contains(_ key: String) -> Bool { keys.withLock { $0.contains(key) } }

  func insert(_ key: String) { keys.withLock { _ = $0.insert(key) } }

  func remove(_ key: String) { keys.withLock { _ = $0.remove(key) } }
}

/// Ports whose protocol nobody has declared. The client's first bytes tell; where it says nothing for a moment, the
/// endpoint is connected, and whoever speaks first decides. That a port's server speaks first is remembered, so that the
/// moment is waited for once. Where a policy looks at HTTP nothing is detected: such a port speaks HTTP.
extension Worker {
  /// How long a client may be silent before the endpoint is asked: two proxies in a row, both of which wait where there is
  /// no mutual TLS between them, stay below 150 ms together.
  package static let detectionNanoseconds: UInt64 = 60_000_000

  /// Whether what is spoken on a cluster's port has to be found out.
  func detects(_ number: Int32) -> Bool {
    guard let cluster = generation.pointee.cluster(number), cluster.pointee.isUndeclared else { return false }
    return !looksAtRequests(generation, number)
  }

  /// Waits for a client's first bytes, or for the end of the moment.
  func beginDetection(_ connection: ConnectionRef, _ cluster: ClusterRef) {
    connection.pointee.role = .detecting
    if !cluster.pointee.serverSpeaksFirst, let key = endpoints.key(of: cluster), settings.learned.contains(key) {
      cluster.pointee.serverSpeaksFirst = true
    }
    if cluster.pointee.serverSpeaksFirst { return askEndpoint(connection) }
    arm(connection, after: Self.detectionNanoseconds)
  }

  /// The first bytes of a connection; none is taken.
  func detectedBytes(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    switch FirstBytes.classify(bytes, count) {
    case .undecided: return 0
    case .http1, .http2: becomeHTTP(connection)
    case .tls, .proxyProtocol, .opaque: beginTunnel(connection)
    }
    if !connection.pointee.flags.contains(.dead) { lookAgain(connection) }
    return 0
  }

  /// The moment is over, and the client has said nothing, or not enough.
  func detectionExpired(_ connection: ConnectionRef) {
    telemetry.metrics.count(.detectionWaits)
    askEndpoint(connection)
  }

  /// Connects the endpoint of a client that has said nothing; whoever speaks first decides.
  func askEndpoint(_ connection: ConnectionRef) {
    beginTunnel(connection)
    guard !connection.pointee.flags.contains(.dead), let exchange = connection.pointee.exchange else { return }
    exchange.pointee.flags.insert(.speculative)
  }

  /// The first bytes through a tunnel that was opened for lack of any; false: it has become something else.
  func decideTunnel(_ exchange: ExchangeRef, fromClient: Bool, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    exchange.pointee.flags.remove(.speculative)
    guard let cluster = exchange.pointee.cluster, let key = endpoints.key(of: cluster) else { return true }
    guard fromClient else {
      if !cluster.pointee.serverSpeaksFirst {
        cluster.pointee.serverSpeaksFirst = true
        settings.learned.insert(key)
      }
      telemetry.tunnelOpened(exchange, now: now, peers)
      return true
    }
    switch FirstBytes.classify(bytes, count) {
    case .http1, .http2:
      // Slow to begin, and HTTP all the same: what was learned of this port does not hold.
      cluster.pointee.serverSpeaksFirst = false
      settings.learned.remove(key)
      becomeRequest(exchange)
      return false
    case .tls, .proxyProtocol, .opaque, .undecided:
      telemetry.tunnelOpened(exchange, now: now, peers)
      return true
    }
  }

  /// Gives the tunnel up, through which nothing has passed, and reads its client as HTTP.
  private func becomeRequest(_ exchange: ExchangeRef) {
    let connection = exchange.pointee.downstream
    if exchange.pointee.isUpstreamStream {
      detachUpstream(exchange, .cancel)
    } else if let upstream = exchange.pointee.upstream {
      upstream.pointee.exchange = nil
      closeAfterFlush(upstream)
    }
    exchange.pointee.upstream = nil
    release(exchange)
    connection.pointee.exchange = nil
    freeExchange(exchange)
    becomeHTTP(connection)
    lookAgain(connection)
  }
}
