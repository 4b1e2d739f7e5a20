import MeshModel
import MeshTLS

/// Makes certificates of every kind, the forbidden ones included.
struct TestAuthority {
  /// What a certificate is to say.
  struct Wish {
    var uris: [String] = ["spiffe://cluster.local/ns/shop/sa/cart"]
    var dns: [String] = []
    /// IP addresses, 4 or 16 bytes.
    var addresses: [[UInt8]] = []
    var notBefore: Int64 = TestAuthority.now - 3600
    var notAfter: Int64 = TestAuthority.now + 3600
    var isAuthority = false
    /// nil: the extension is left out. Bit 0 is digitalSignature, bit 5 keyCertSign.
    var keyUsage: UInt8? = 0x80
    var purposes: [[UInt32]] = [[1, 3, 6, 1, 5, 5, 7, 3, 1], [1, 3, 6, 1, 5, 5, 7, 3, 2]]
    /// Bytes of the extension in place of the names, if not nil.
    var rawSubjectAltName: [UInt8]?
  }

  /// 2026-06-01 00:00:00 UTC, the time of all tests that do not move it.
  static let now: Int64 = 1_780_272_000

  let key: TLSKeyPair
  let name: String
  let certificate: [UInt8]

  var pem: [UInt8] { Array(DER.pem("CERTIFICATE", certificate).utf8) }

  /// A root.
  init(
    name: String = "Test root", notBefore: Int64 = TestAuthority.now - 3600,
    notAfter: Int64 = TestAuthority.now + 86400
  ) throws {
    let key = try TLSKeyPair()
    self.key = key
    self.name = name
    certificate = try TestAuthority.certificate(
      Wish(
        uris: [], notBefore: notBefore, notAfter: notAfter, isAuthority: true, keyUsage: 0x04, purposes: []),
      subject: name, publicKey: key.publicKeyInfo, issuer: name, signer: key)
  }

  private init(key: TLSKeyPair, name: String, certificate: [UInt8]) {
    self.key = key
    self.name = name
    self.certificate = certificate
  }

  /// An intermediate under this authority.
  func intermediate(name: String = "Test intermediate", notAfter: Int64 = TestAuthority.now + 86400) throws -> Self {
    let key = try TLSKeyPair()
    let wish = Wish(uris: [], notAfter: notAfter, isAuthority: true, keyUsage: 0x04, purposes: [])
    let signed = try TestAuthority.certificate(
      wish, subject: name, publicKey: key.publicKeyInfo, issuer: self.name, signer: self.key)
    return TestAuthority(key: key, name: name, certificate: signed)
  }

  /// A leaf's certificate, DER.
  func sign(_ wish: Wish, for pair: TLSKeyPair) throws -> [UInt8] {
    try TestAuthority.certificate(
      wish, subject: "", publicKey: pair.publicKeyInfo, issuer: name, signer: key)
  }

  /// A leaf and its key, with this authority's certificate after it.
  func identity(_ wish: Wish = Wish()) throws -> TLSIdentity {
    let pair = try TLSKeyPair()
    let leaf = DER.pem("CERTIFICATE", try sign(wish, for: pair))
    return try pair.identity(chain: Array(leaf.utf8) + pem)
  }

  func trust() throws -> TLSTrust { try TLSTrust(roots: pem) }

  private static func certificate(
    _ wish: Wish, subject: String, publicKey: [UInt8], issuer: String, signer: TLSKeyPair
  ) throws -> [UInt8] {
    let algorithm = DER.sequence([DER.identifier([1, 2, 840, 10045, 4, 3, 2])])
    let serial = (0..<8).map { _ in UInt8.random(in: 1...127) }
    let body = DER.sequence([
      DER.value(0xa0, DER.integer([2])), DER.integer(serial), algorithm, distinguished(issuer),
      DER.sequence([time(wish.notBefore), time(wish.notAfter)]), distinguished(subject), publicKey,
      DER.value(0xa3, DER.sequence(extensions(wish))),
    ])
    return DER.sequence([body, algorithm, DER.bits(try signer.sign(body))])
  }

  private static func extensions(_ wish: Wish) -> [[UInt8]] {
    var all: [[UInt8]] = []
    let constraints = wish.isAuthority ? DER.sequence([DER.boolean(true)]) : DER.sequence([])
    all.append(DER.sequence([DER.identifier([2, 5, 29, 19]), DER.boolean(true), DER.octets(constraints)]))
    if let usage = wish.keyUsage {
      let bits = DER.value(0x03, [UInt8(usage.trailingZeroBitCount), usage])
      all.append(DER.sequence([DER.identifier([2, 5, 29, 15]), DER.boolean(true), DER.octets(bits)]))
    }
    if !wish.purposes.isEmpty {
      let purposes = DER.sequence(wish.purposes.map { DER.identifier($0) })
      all.append(DER.sequence([DER.identifier([2, 5, 29, 37]), DER.octets(purposes)]))
    }
    let names =
      wish.uris.map { DER.value(0x86, Array($0.utf8)) } + wish.dns.map { DER.value(0x82, Array($0.utf8)) }
      + wish.addresses.map { DER.value(0x87, $0) }
    if let raw = wish.rawSubjectAltName ?? (names.isEmpty ? nil : DER.sequence(names)) {
      all.append(DER.sequence([DER.identifier([2, 5, 29, 17]), DER.octets(raw)]))
    }
    return all
  }

  private static func distinguished(_ name: String) -> [UInt8] {
    guard !name.isEmpty else { return DER.sequence([]) }
    return DER.sequence([DER.set([DER.sequence([DER.identifier([2, 5, 4, 3]), DER.utf8(name)])])])
  }

  /// GeneralizedTime; the civil date from days since 1970.
  private static func time(_ seconds: Int64) -> [UInt8] {
    let days = Int((Double(seconds) / 86400).rounded(.down))
    let rest = Int(seconds) - days * 86400
    var year = 1970
    var left = days
    func length(_ year: Int) -> Int { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365 }
    while left >= length(year) {
      left -= length(year)
      year += 1
    }
    var month = 0
    let months = [31, length(year) == 366 ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    while left >= months[month] {
      left -= months[month]
      month += 1
    }
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let clock = two(rest / 3600) + two(rest / 60 % 60) + two(rest % 60)
    let short = year < 2050
    let date = (short ? two(year % 100) : "\(year)") + two(month + 1) + two(left + 1)
    return DER.value(short ? 0x17 : 0x18, Array((date + clock + "Z").utf8))
  }
}
