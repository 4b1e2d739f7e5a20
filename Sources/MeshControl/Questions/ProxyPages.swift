/// Pages of the proxies' admin interfaces, asked for over the streams on which the proxies are attached.
package protocol ProxyPages: Sendable {
  /// The page `target` (path and query) of one proxy; nil where it is not attached or does not answer in time.
  func page(_ target: String, of proxy: String) async -> ProxyPage?
  /// A page of every attached proxy that answers in time, in order of their names; `target` says which, by proxy.
  func pages(_ target: @escaping @Sendable (String) -> String) async -> [ProxyPage]
}

/// What a proxy answered.
package struct ProxyPage: Sendable, Equatable {
  /// The uid of the proxy's workload.
  package var proxy: String
  /// HTTP status.
  package var status: Int
  package var body: [UInt8]

  package init(proxy: String, status: Int, body: [UInt8]) {
    self.proxy = proxy
    self.status = status
    self.body = body
  }
}

/// For where there are no proxies to ask.
package struct NoProxyPages: ProxyPages {
  package init() {}
  package func page(_ target: String, of proxy: String) async -> ProxyPage? { nil }
  package func pages(_ target: @escaping @Sendable (String) -> String) async -> [ProxyPage] { [] }
}
