internal import MeshHTTP
package import MeshReactor
internal import MeshWire

/// What a proxy is started with and what does not change while it runs.
package struct ProxySettings: Sendable {
  /// What peers may drive up.
  package var limits = ProxyLimits()
  /// Worker threads; limits of a policy are divided among them.
  package var workers = 1
  /// When workers wait a moment for more events.
  package var coalescing = Coalescing()
  /// The longest time of one turn that taking up a configuration may use, nanoseconds; 0: one cluster a turn.
  package var adoptionSliceNanoseconds: UInt64 = 250_000
  /// Added to the wall clock where certificates are judged; only tests set it.
  package var clockOffsetSeconds: Int64 = 0

  /// What the workers have learned of undeclared ports.
  package var learned = LearnedPorts()

  package init() {}
}

/// What a listener does with a connection.
enum ListenerPurpose: UInt8 {
  case outbound, forward, inbound
}

/// A listener as a worker knows it.
struct ListenerState {
  var index: Int32
  var kind: ListenerPurpose
  var isTCP: Bool
  /// Nobody has said what is spoken here.
  var isUndeclared: Bool
  var mutualTLS: MutualTLSMode
  var connection: ConnectionRef?
  /// Which of the proxy's identities it acts for.
  var identity: Int?
  /// Inbound: where the application listens.
  var applicationPort: UInt16
  var applicationAddress: SocketAddress?

  /// - Parameter identity: the place of the identity that it acts for; nil: there is none, and no TLS.
  init(index: Int32, config: ListenerConfig, identity: Int? = 0) {
    self.identity = identity
    self.index = index
    isTCP = config.appProtocol == .tcp || config.appProtocol == .tls
    isUndeclared = config.appProtocol == .unspecified
    mutualTLS = config.mutualTLS
    applicationPort = UInt16(exactly: config.port) ?? 0
    applicationAddress = SocketAddress(
      address: config.applicationAddress.isEmpty ? "127.0.0.1" : config.applicationAddress, port: applicationPort)
    switch config.kind {
    case .outbound: kind = .outbound
    case .forward: kind = .forward
    case .inbound: kind = .inbound
    }
  }
}
