import Foundation
import MeshControl
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Calls gates and metrics' servers: HTTP/1.1 over TCP or TLS, one connection for each call, everything bounded.
struct WebClient: WebCaller {
  /// Bytes of an answer; a longer one is cut.
  static let maxBodyBytes = 256 << 10

  private let group: any EventLoopGroup

  init(group: any EventLoopGroup) {
    self.group = group
  }

  /// Servers are verified with the certificates of the file that `SSL_CERT_FILE` names, else with the system's.
  private static var tlsConfiguration: TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    let named = ProcessInfo.processInfo.environment["SSL_CERT_FILE"] ?? ""
    if !named.isEmpty { configuration.trustRoots = .file(named) }
    return configuration
  }

  func call(_ method: String, _ url: String, body: [UInt8], timeout: Duration) async -> WebAnswer {
    guard let target = WebTarget(url) else { return .failed("\(url.prefix(200)) is no URL that can be called") }
    do {
      return try await exchange(method, target, body: body, timeout: timeout).get()
    } catch let error as WebFailure {
      return .failed(error.message)
    } catch {
      return .failed("\(target.host):\(target.port) is not reached (\(String(describing: error).prefix(200)))")
    }
  }

  private func exchange(
    _ method: String, _ target: WebTarget, body: [UInt8], timeout: Duration
  ) -> EventLoopFuture<WebAnswer> {
    let loop = group.next()
    let answer = loop.makePromise(of: WebAnswer.self)
    let limit = TimeAmount.nanoseconds(Int64(timeout / .nanoseconds(1)))
    let connecting = ClientBootstrap(group: loop)
      .connectTimeout(limit)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if target.isSecure {
            let context = try NIOSSLContext(configuration: Self.tlsConfiguration)
            // An address is no server name (RFC 6066).
            let name = target.isAddress ? nil : target.host
            try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: name))
          }
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          try channel.pipeline.syncOperations.addHandler(AnswerHandler(answer: answer, limit: limit))
        }
      }
      .connect(host: target.host, port: target.port)
    connecting.whenFailure { answer.fail($0) }
    connecting.whenSuccess { channel in
      var head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method), uri: target.path)
      head.headers.add(name: "host", value: target.authority)
      head.headers.add(name: "user-agent", value: "apus")
      head.headers.add(name: "connection", value: "close")
      if !body.isEmpty { head.headers.add(name: "content-type", value: "application/json") }
      head.headers.add(name: "content-length", value: String(body.count))
      channel.write(HTTPClientRequestPart.head(head), promise: nil)
      if !body.isEmpty { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
      channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }
    return answer.futureResult
  }
}

/// Why a call has no answer, for people.
private enum WebFailure: Error {
  case timedOut
  case closed

  var message: String {
    switch self {
    case .timedOut: "no answer in time"
    case .closed: "the connection was closed before the answer"
    }
  }
}

/// Where a URL leads.
struct WebTarget: Equatable {
  var isSecure: Bool
  var host: String
  var port: Int
  /// Path and query.
  var path: String

  /// nil for what is no `http` or `https` URL.
  init?(_ url: String) {
    let rest: Substring
    if url.hasPrefix("http://") {
      (isSecure, rest) = (false, url.dropFirst(7))
    } else if url.hasPrefix("https://") {
      (isSecure, rest) = (true, url.dropFirst(8))
    } else {
      return nil
    }
    let place = rest.prefix { $0 != "/" && $0 != "?" }
    let tail = rest.dropFirst(place.count)
    path = tail.hasPrefix("/") ? String(tail) : "/\(tail)"
    let standard = isSecure ? 443 : 80
    if place.hasPrefix("[") {
      guard let end = place.firstIndex(of: "]") else { return nil }
      host = String(place[place.index(after: place.startIndex)..<end])
      let after = place[place.index(after: end)...]
      guard let number = after.isEmpty ? standard : after.hasPrefix(":") ? Int(after.dropFirst()) : nil else {
        return nil
      }
      port = number
    } else {
      let parts = place.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2, let first = parts.first else { return nil }
      host = String(first)
      guard let number = parts.count == 2 ? Int(parts[1]) : standard else { return nil }
      port = number
    }
    guard !host.isEmpty, (1...65_535).contains(port) else { return nil }
  }

  var isAddress: Bool { host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." } }

  var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
  }
}

/// Collects one answer.
private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart

  private let answer: EventLoopPromise<WebAnswer>
  private let limit: TimeAmount
  private var status = 0
  private var body: [UInt8] = []
  private var isDone = false

  init(answer: EventLoopPromise<WebAnswer>, limit: TimeAmount) {
    self.answer = answer
    self.limit = limit
  }

  func channelActive(context: ChannelHandlerContext) {
    let channel = context.channel
    let answer = self.answer
    let deadline = channel.eventLoop.scheduleTask(in: limit) {
      answer.fail(WebFailure.timedOut)
      channel.close(promise: nil)
    }
    channel.closeFuture.whenComplete { _ in deadline.cancel() }
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): status = Int(head.status.code)
    case .body(let part):
      body += part.readableBytesView.prefix(WebClient.maxBodyBytes - body.count)
    case .end: finish(context)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isDone { answer.fail(WebFailure.closed) }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A server that does not say goodbye in TLS has said everything all the same.
    if let failure = error as? NIOSSLError, case .uncleanShutdown = failure { return }
    answer.fail(error)
    context.close(promise: nil)
  }

  private func finish(_ context: ChannelHandlerContext) {
    isDone = true
    answer.succeed(.answered(status: status, body: body))
    context.close(promise: nil)
  }
}
