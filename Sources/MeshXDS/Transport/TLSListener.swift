import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// Accepts the connections of the mesh's gRPC server: TLS 1.3, client certificate optional, both replaceable.
struct TLSListener: HTTP2ServerTransport.ListenerFactory {
  /// A handshake that has not ended by then is given up.
  static let handshakeTimeout: TimeAmount = .seconds(15)
  /// How long the addresses of a connection that has ended are not taken again.
  static let barTime: TimeAmount = .seconds(5)

  let eventLoopGroup: any EventLoopGroup
  let host: String
  let port: Int
  let credentials: ServerCredentials
  let peers: PeerTable

  func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .bind(host: host, port: port) { channel in
        channel.eventLoop.makeCompletedFuture { try prepare(channel) }
          .flatMap { connectionConfigurator.configure(channel: channel, tls: .configured(requireALPN: true)) }
          .flatMapErrorThrowing { error in
            // A connection that could not be set up is nobody's: nothing else would close it.
            channel.close(promise: nil)
            throw error
          }
      }
  }

  /// TLS, the deadline of the handshake, and the connection's entry in the table of peers.
  private func prepare(_ channel: any Channel) throws {
    let ends = PeerTable.Ends(remote: channel.remoteEnd, local: channel.localEnd)
    guard let connection = peers.open(ends) else { throw ChannelError.alreadyClosed }
    let peers = self.peers
    let loop = channel.eventLoop
    channel.closeFuture.whenComplete { _ in
      peers.close(ends)
      loop.scheduleTask(in: Self.barTime) { peers.unbar(ends) }
    }
    let credentials = self.credentials
    let tls = NIOSSLServerHandler(context: credentials.context) { certificates, promise in
      promise.completeWithTask {
        connection.peer = await credentials.peer(of: certificates, now: Date())
        return .certificateVerified
      }
    }
    try channel.pipeline.syncOperations.addHandlers(tls, HandshakeDeadline(timeout: Self.handshakeTimeout))
  }
}

/// Closes a connection whose handshake takes too long.
private final class HandshakeDeadline: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  private let timeout: TimeAmount
  private var scheduled: Scheduled<Void>?

  init(timeout: TimeAmount) { self.timeout = timeout }

  func handlerAdded(context: ChannelHandlerContext) {
    let channel = context.channel
    scheduled = context.eventLoop.scheduleTask(in: timeout) { channel.close(mode: .all, promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { scheduled?.cancel() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted? = event as? TLSUserEvent { scheduled?.cancel() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    scheduled?.cancel()
    context.fireChannelInactive()
  }
}

extension Channel {
  /// The address of the other end, written as gRPC writes it in the context of a call.
  fileprivate var remoteEnd: String { Self.describe(remoteAddress) }

  /// The address of this end, written as gRPC writes it in the context of a call.
  fileprivate var localEnd: String { Self.describe(localAddress) }

  private static func describe(_ address: NIOCore.SocketAddress?) -> String {
    switch address {
    case .v4(let v4): "ipv4:\(v4.host):\(address?.port ?? 0)"
    case .v6(let v6): "ipv6:[\(v6.host)]:\(address?.port ?? 0)"
    case .unixDomainSocket, nil: "<unknown>"
    }
  }
}
