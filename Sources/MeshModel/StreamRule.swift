/// One rule for connections (Gateway API `TCPRouteRule`, `TLSRouteRule`).
package struct StreamRule: Hashable, Sendable {
  package var origin: RouteOrigin
  /// Server names of TLS connections, some with `*.` at their beginning; without regard to case. Empty: every connection,
  /// whatever it carries.
  package var serverNames: [String]
  /// Weights only; the changes of headers have no meaning here.
  package var backends: [WeightedBackend]

  package init(origin: RouteOrigin, serverNames: [String] = [], backends: [WeightedBackend]) {
    self.origin = origin
    self.serverNames = serverNames
    self.backends = backends
  }
}
