package import GRPCCore
package import GRPCNIOTransportHTTP2Posix
package import NIOCore

/// The transport of the mesh's gRPC server: HTTP/2 over TLS 1.3 where the client may show a certificate.
///
/// The library's own transport fixes its TLS configuration when it starts, knows no optional client certificate and
/// takes TLS 1.2; its custom transport leaves all this to a listener, but then does not say which connection a call
/// came on. This one finds the peer by the two addresses of the connection and puts it into the context of each call.
package struct MeshServerTransport: ServerTransport {
  package typealias Bytes = GRPCNIOTransportBytes

  private let inner: HTTP2ServerTransport.Custom<TLSListener>
  private let peers = PeerTable()

  /// - Parameters:
  ///   - host: the address to listen on.
  ///   - port: the port; 0 takes a free one.
  ///   - credentials: what is shown, and how clients are checked.
  package init(host: String, port: Int, credentials: ServerCredentials, eventLoopGroup: any EventLoopGroup) {
    var config = HTTP2ServerTransport.Custom<TLSListener>.Config.defaults
    config.rpc.maxRequestPayloadSize = 1024 * 1024
    config.http2.maxConcurrentStreams = 100
    config.connection.maxIdleTime = .seconds(60)
    // A proxy that has stopped answering is found by this; one whose process has ended, by its connection's end.
    config.connection.keepalive.time = .seconds(10)
    config.connection.keepalive.timeout = .seconds(5)
    config.connection.keepalive.clientBehavior.allowWithoutCalls = true
    config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(5)
    inner = HTTP2ServerTransport.Custom(
      listenerFactory: TLSListener(
        eventLoopGroup: eventLoopGroup, host: host, port: port, credentials: credentials, peers: peers),
      config: config)
  }

  /// The port that is listened on, once it is; nil if listening has failed or ended.
  package var boundPort: Int? {
    get async {
      let address = await inner.listeningAddress
      return address?.ipv4?.port ?? address?.ipv6?.port
    }
  }

  package func configure(context: GRPCServerContext) { inner.configure(context: context) }

  package func listen(
    streamHandler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
  ) async throws {
    let peers = self.peers
    try await inner.listen { stream, context in
      var context = context
      let ends = PeerTable.Ends(remote: context.remotePeer, local: context.localPeer)
      context.transportSpecific = PeerContext(peer: peers.peer(at: ends))
      await streamHandler(stream, context)
    }
  }

  package func beginGracefulShutdown() { inner.beginGracefulShutdown() }
}
