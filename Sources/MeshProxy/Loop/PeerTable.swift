// Unsafe by design: field bytes are kept in memory of their own for the traffic path.
internal import MeshTLS

/// A peer that connected with mTLS, for as long as one of its connections lives.
struct Peer {
  /// `x-forwarded-client-cert: Hash=…;URI=…` with its line end, ready to be written.
  var clientCertificateField = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
  /// Its SPIFFE ID, within that field.
  var identity = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
  /// Connections that have its number.
  var connections = 0
}

/// The peers of a worker by small number, so that a connection carries four bytes and nothing is built per request. An
/// entry is given to another peer only after its last connection has gone.
final class PeerTable {
  private var entries: UnsafeMutablePointer<Peer>
  private var capacity = 16
  private var count = 1
  private var free: [Int32] = []
  private var numbers: [String: Int32] = [:]

  init() {
    entries = .allocate(capacity: 16)
    entries.initialize(to: Peer())
  }

  deinit {
    for index in 0..<count { entries[index].clientCertificateField.deallocate() }
    entries.deallocate()
  }

  /// The peer with a number that a connection has; number 0 is nobody.
  func entry(_ number: Int32) -> UnsafePointer<Peer> { UnsafePointer(entries + Int(number)) }

  /// The number of the peer of an open session, for one connection more; 0 if it showed no certificate.
  func take(_ session: TLSSession) -> Int32 {
    guard let hash = session.peerCertificateSHA256 else { return 0 }
    let identity = String(decoding: session.peerIdentity, as: UTF8.self)
    let field = "x-forwarded-client-cert: Hash=\(hex(hash));URI=\(identity)\r\n"
    if let known = numbers[field] {
      entries[Int(known)].connections += 1
      return known
    }
    let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: field.utf8.count)
    _ = bytes.initialize(from: field.utf8)
    let start = field.utf8.count - 2 - identity.utf8.count
    let peer = Peer(
      clientCertificateField: bytes, identity: UnsafeBufferPointer(rebasing: bytes[start..<(field.utf8.count - 2)]),
      connections: 1)
    let number = free.popLast() ?? append()
    entries[Int(number)] = peer
    numbers[field] = number
    return number
  }

  /// One connection less.
  func letGo(_ number: Int32) {
    guard number > 0 else { return }
    entries[Int(number)].connections -= 1
    guard entries[Int(number)].connections == 0 else { return }
    let field = entries[Int(number)].clientCertificateField
    numbers[String(decoding: field, as: UTF8.self)] = nil
    field.deallocate()
    entries[Int(number)] = Peer()
    free.append(number)
  }

  /// Peers that have connections.
  var inUse: Int { numbers.count }

  private func append() -> Int32 {
    if count == capacity {
      let grown = UnsafeMutablePointer<Peer>.allocate(capacity: capacity * 2)
      grown.moveInitialize(from: entries, count: count)
      entries.deallocate()
      entries = grown
      capacity *= 2
    }
    (entries + count).initialize(to: Peer())
    count += 1
    return Int32(count - 1)
  }

  private func hex(_ words: (UInt64, UInt64, UInt64, UInt64)) -> String {
    var text = ""
    withUnsafeBytes(of: words) { bytes in
      for byte in bytes { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    }
    return text
  }
}
