import CNIOBoringSSL

/// A name that a server's certificate may have (RFC 6125).
package enum TLSServerName: Hashable, Sendable {
  /// A host name; with `*.` in front, any name with one label in its place. Compared without regard to case.
  case dns(String)
  /// A URI, byte for byte.
  case uri(String)
  /// An IP address, 4 or 16 bytes in the order of the network (RFC 5280, section 4.2.1.6).
  case address([UInt8])
}

/// Whom the peer must be.
package enum TLSPeerCheck: Hashable, Sendable {
  /// A workload of the mesh: exactly one SPIFFE ID, of our trust domains.
  case workload
  /// An ordinary server: one of these names in its certificate. `serverName` is what a client asks for (RFC 6066, section
  /// 3); empty for nothing.
  case server(serverName: String, names: [TLSServerName])
}

extension TLSContext {
  /// Checks an ordinary server's certificates without a connection, as they would be checked in a handshake.
  ///
  /// - Parameters:
  ///   - chain: DER, leaf first.
  ///   - nowSeconds: seconds since 1970.
  /// - Returns: why the server is refused; nil when it is accepted.
  package func checkServer(chain: [[UInt8]], nowSeconds: Int64) -> TLSFailure? {
    var buffers: [OpaquePointer] = []
    defer { for buffer in buffers { CRYPTO_BUFFER_free(buffer) } }
    for der in chain {
      guard let buffer = CRYPTO_BUFFER_new(der, der.count, nil) else { return .internalFailure }
      buffers.append(buffer)
    }
    switch verify(chain: buffers, expecting: nil, nowSeconds: nowSeconds, resumed: false) {
    case .success: return nil
    case .failure(let failure): return failure
    }
  }

  /// At least one of the certificate's names is one of those expected. A common name counts for nothing (RFC 9525,
  /// section 2).
  func checkNames(_ leaf: ParsedCertificate, _ expected: [TLSServerName]) throws(TLSFailure) {
    guard let hosts = leaf.names(GEN_DNS), let uris = leaf.names(GEN_URI) else { throw .certificateInvalid }
    for name in expected {
      switch name {
      case .uri(let uri): if uris.contains(Array(uri.utf8)) { return }
      case .address(let bytes): if leaf.names(GEN_IPADD)?.contains(bytes) ?? false { return }
      case .dns(let host):
        let wanted = HostPattern(Array(host.utf8))
        if hosts.contains(where: { wanted.meets(HostPattern($0)) }) { return }
      }
    }
    throw .identityMismatch
  }
}

/// A host name that may begin with a wildcard, in lower case and without a root's dot.
private struct HostPattern {
  private let name: [UInt8]
  private let isWildcard: Bool

  init(_ bytes: [UInt8]) {
    var text = bytes.map { $0 &- 65 < 26 ? $0 | 32 : $0 }
    if text.last == UInt8(ascii: ".") { text.removeLast() }
    isWildcard = text.starts(with: [UInt8(ascii: "*"), UInt8(ascii: ".")])
    name = isWildcard ? Array(text.dropFirst(2)) : text
  }

  /// Whether the two can mean the same host. A wildcard stands for exactly one label, and never for one right below a
  /// single label (`*.org`).
  func meets(_ other: HostPattern) -> Bool {
    if name.isEmpty || other.name.isEmpty || other.name.contains(UInt8(ascii: "*")) || name.contains(0x2A) {
      return false
    }
    if isWildcard == other.isWildcard { return name == other.name && (!isWildcard || isNarrow) }
    return isWildcard ? covers(other.name) : other.covers(name)
  }

  private var isNarrow: Bool { name.contains(UInt8(ascii: ".")) }

  private func covers(_ host: [UInt8]) -> Bool {
    guard isNarrow, let dot = host.firstIndex(of: UInt8(ascii: ".")), dot > 0 else { return false }
    return Array(host[(dot + 1)...]) == name
  }
}
