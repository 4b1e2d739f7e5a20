package import ApusHTTP
import Synchronization

/// One address that a demo program calls, with connections kept for the next call.
package final class DemoCall: Sendable {
  /// Connections kept at most; more calls at once open further ones.
  private static let keptLimit = 16

  package let url: String
  private let authority: String
  private let address: HTTPAddress
  private let isProxied: Bool
  private let timeout: Duration
  private let idle = Mutex<[KeptClient]>([])

  /// - Parameters:
  ///   - url: `http://NAME[:PORT]/PATH`.
  ///   - proxy: the forward proxy, as in `HTTP_PROXY`; absent: the name is connected to directly.
  ///   - timeout: default 5 s.
  /// - Returns: nil for what is no such URL or no such proxy.
  package init?(url: String, proxy: String?, timeout: Duration = .seconds(5)) {
    guard url.hasPrefix("http://") else { return nil }
    let authority = String(url.dropFirst("http://".count).prefix { $0 != "/" })
    guard let direct = HTTPAddress(authority, defaultPort: 80) else { return nil }
    if let proxy, !proxy.isEmpty {
      guard let address = HTTPAddress(proxy, defaultPort: 80) else { return nil }
      self.address = address
      isProxied = true
    } else {
      address = direct
      isProxied = false
    }
    self.url = url
    self.authority = authority
    self.timeout = timeout
  }

  /// Asks for the URL. No answer is told as status 599, with the reason.
  package func get(_ fields: [HTTPField] = []) -> HTTPResponse {
    let path = url.dropFirst("http://".count + authority.count)
    let target = isProxied ? url : (path.isEmpty ? "/" : String(path))
    let client =
      idle.withLock { $0.popLast() } ?? KeptClient(HTTPClient(address: address, authority: authority, timeout: timeout))
    do {
      let response = try client.send(HTTPRequest(method: "GET", target: target, fields: fields))
      idle.withLock { if $0.count < Self.keptLimit { $0.append(client) } }
      return response
    } catch {
      return HTTPResponse(status: 599, contentType: "text/plain", text: error.message)
    }
  }
}

/// A client that is used by one thread at a time and kept between.
private final class KeptClient: Sendable {
  private let client: Mutex<HTTPClient>

  init(_ client: consuming sending HTTPClient) {
    self.client = Mutex(client)
  }

  func send(_ request: HTTPRequest) throws(HTTPFailure) -> HTTPResponse {
    try client.withLock { client throws(HTTPFailure) in try client.send(request) }
  }
}
