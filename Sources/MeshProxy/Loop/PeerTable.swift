// Unsafe by design: field bytes are kept in memory of their own for the traffic path.
internal import MeshTLS

/// A peer that connected with mTLS.
struct Peer {
  /// Its SPIFFE ID.
  var identity: String
  /// `x-forwarded-client-cert: Hash=…;URI=…` with its line end, ready to be written.
  var clientCertificateField: UnsafeBufferPointer<UInt8>
}

/// The peers of a worker by small number, so that a connection carries four bytes and nothing is built per request.
/// Bounded: certificates that come after `limit` different ones share the entries of the oldest.
struct PeerTable {
  static let limit = 4096
  private var entries: [Peer] = [Peer(identity: "", clientCertificateField: UnsafeBufferPointer(start: nil, count: 0))]
  private var numbers: [String: Int32] = [:]
  private var nextVictim = 1

  func entry(_ number: Int32) -> Peer { entries[Int(number) < entries.count ? Int(number) : 0] }

  /// The number of the peer of an open session; 0 if it showed no certificate.
  mutating func index(of session: TLSSession) -> Int32 {
    guard let hash = session.peerCertificateSHA256 else { return 0 }
    let identity = String(decoding: session.peerIdentity, as: UTF8.self)
    let field = "x-forwarded-client-cert: Hash=\(hex(hash));URI=\(identity)\r\n"
    if let known = numbers[field] { return known }
    let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: field.utf8.count)
    _ = bytes.initialize(from: field.utf8)
    let peer = Peer(identity: identity, clientCertificateField: UnsafeBufferPointer(bytes))
    if entries.count <= Self.limit {
      entries.append(peer)
      numbers[field] = Int32(entries.count - 1)
      return Int32(entries.count - 1)
    }
    let victim = nextVictim
    nextVictim = nextVictim == Self.limit ? 1 : nextVictim + 1
    numbers = numbers.filter { $0.value != Int32(victim) }
    entries[victim].clientCertificateField.deallocate()
    entries[victim] = peer
    numbers[field] = Int32(victim)
    return Int32(victim)
  }

  private func hex(_ words: (UInt64, UInt64, UInt64, UInt64)) -> String {
    var text = ""
    withUnsafeBytes(of: words) { bytes in
      for byte in bytes { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    }
    return text
  }
}
