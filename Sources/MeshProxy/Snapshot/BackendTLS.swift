internal import Glibc
internal import MeshModel
internal import MeshReactor
internal import MeshTLS
package import MeshWire

/// TLS towards the endpoints of a service that are not of the mesh, as a BackendTLSPolicy says. Immutable; endpoints
/// share it.
package final class BackendTLS: Sendable {
  /// What it was made of: two of the same are one.
  package let source: BackendTLSConfig
  /// For requests that may go by HTTP/2, for those of HTTP/1.1, for bytes as they are. Nil: nothing can be verified, and
  /// connections fail.
  private let contexts: (streams: TLSContext, http: TLSContext, tcp: TLSContext)?

  /// - Parameter systemAuthorities: the system's certificates, PEM; asked for only where the policy wants them.
  package init(_ source: BackendTLSConfig, systemAuthorities: () -> [UInt8]) {
    self.source = source
    let roots = source.usesSystemAuthorities ? systemAuthorities() : Array(source.authorities.utf8)
    guard source.invalidReason.isEmpty, let trust = try? TLSTrust(roots: roots),
      let streams = Self.context(source, trust, ["h2", "http/1.1"]),
      let http = Self.context(source, trust, ["http/1.1"]),
      let tcp = Self.context(source, trust, [])
    else {
      contexts = nil
      return
    }
    contexts = (streams, http, tcp)
  }

  private static func context(_ source: BackendTLSConfig, _ trust: TLSTrust, _ protocols: [String]) -> TLSContext? {
    var settings = TLSSettings(role: .client, identity: nil, trust: trust, trustDomains: [], protocols: protocols)
    // What other people's servers speak is not ours to say.
    settings.minimumVersion = .tls12
    settings.keyExchange = .classicPreferred
    var names = source.subjectAltNames.map { $0.hostname.isEmpty ? TLSServerName.uri($0.uri) : .dns($0.hostname) }
    // Addresses are no names that a client may ask for (RFC 6066, section 3).
    let address = SocketAddress(address: source.hostname, port: 0)?.networkBytes
    if names.isEmpty { names = [address.map { .address($0) } ?? .dns(source.hostname)] }
    settings.peer = .server(serverName: address == nil ? source.hostname : "", names: names)
    return try? TLSContext(settings)
  }

  /// The context for a connection that we open; nil: there must be none.
  func context(_ role: ConnectionRole) -> TLSContext? {
    switch role {
    case .upstreamTunnel: contexts?.tcp
    case .upstreamHTTP2: contexts?.streams
    default: contexts?.http
    }
  }

  /// The entry that holds for a port: its own, else the one for all ports.
  static func entry(_ entries: [BackendTLSConfig], port: UInt32) -> BackendTLSConfig? {
    entries.first { $0.port == port } ?? entries.first { $0.port == nil }
  }
}

/// Where systems keep the certificates of the authorities they believe.
package enum SystemAuthorities {
  private static let places = [
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
  ]
  /// A larger file is none of these.
  private static let maxBytes = 8 << 20

  /// The certificates, PEM: the file that `SSL_CERT_FILE` names, else the first that is there; empty for none.
  package static func read() -> [UInt8] {
    let named = getenv("SSL_CERT_FILE").map { String(cString: $0) }
    for path in [named].compactMap({ $0 }) + places {
      if let found = content(of: path), !found.isEmpty { return found }
    }
    return []
  }

  private static func content(of path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < maxBytes {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count <= 0 { return count == 0 ? bytes : nil }
      bytes += piece[..<count]
    }
    return nil
  }
}
