internal import MeshReactor
internal import MeshWire

/// What a proxy is started with and what does not change while it runs.
package struct ProxySettings: Sendable {
  /// Client connections that one worker holds at most. Default 50,000.
  package var maxConnectionsPerWorker = 50_000
  /// Worker threads; limits of a policy are divided among them.
  package var workers = 1
  /// Added to the wall clock where certificates are judged; only tests set it.
  package var clockOffsetSeconds: Int64 = 0

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
  var mutualTLS: MutualTLSMode
  var connection: ConnectionRef?
  /// Inbound: where the application listens.
  var applicationPort: UInt16
  var applicationAddress: SocketAddress?

  init(index: Int32, config: ListenerConfig) {
    self.index = index
    isTCP = config.appProtocol == .tcp || config.appProtocol == .tls
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
