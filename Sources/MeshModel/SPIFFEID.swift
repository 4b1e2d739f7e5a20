/// Why a text is not a SPIFFE ID that a workload may have.
///
/// The rules are those of the SPIFFE ID standard (SPIFFE-ID, sections 2.1 to 2.4); this mesh in addition wants a path,
/// since an ID without one names a trust domain and not a workload.
package enum SPIFFEIDError: Error, Equatable, Sendable, CaseIterable {
  /// Longer than `SPIFFEID.maximumBytes`.
  case tooLong
  /// It does not begin with `spiffe://`.
  case scheme
  /// Nothing stands between `spiffe://` and the path.
  case emptyTrustDomain
  /// The trust domain is longer than `TrustDomain.maximumBytes`.
  case trustDomainTooLong
  /// The trust domain has a character other than a lower-case letter, a digit, `.`, `-` and `_`
  /// (so also a user, a port, or an upper-case letter).
  case trustDomainCharacter
  /// There is no path: the ID names a trust domain.
  case noPath
  /// Two slashes follow each other, or the path ends in one.
  case emptySegment
  /// A segment is `.` or `..`.
  case dotSegment
  /// The text has a `%`: SPIFFE IDs are never percent-encoded.
  case percentEncoding
  /// The path has a character other than a letter, a digit, `.`, `-` and `_` (so also a query or a fragment).
  case pathCharacter

  /// What is wrong and how it should be, for people; one sentence.
  package var sentence: StaticString {
    switch self {
    case .tooLong: "The SPIFFE ID is longer than 2048 bytes."
    case .scheme: "A SPIFFE ID begins with spiffe://, in lower case."
    case .emptyTrustDomain: "The SPIFFE ID has no trust domain."
    case .trustDomainTooLong: "The trust domain is longer than 255 bytes."
    case .trustDomainCharacter: "A trust domain has only lower-case letters, digits, '.', '-' and '_'."
    case .noPath: "The SPIFFE ID has no path: it names a trust domain and not a workload."
    case .emptySegment: "The path of a SPIFFE ID has no empty segment and does not end in a slash."
    case .dotSegment: "The path of a SPIFFE ID has no '.' or '..' segment."
    case .percentEncoding: "A SPIFFE ID is never percent-encoded."
    case .pathCharacter: "The path of a SPIFFE ID has only letters, digits, '.', '-', '_' and '/'."
    }
  }
}

/// The name of a trust domain: those who share a root of trust (SPIFFE-ID, section 2.1).
package struct TrustDomain: Hashable, Sendable, CustomStringConvertible {
  /// Bytes that a name may have.
  package static let maximumBytes = 255
  /// The trust domain of a mesh to which none is given: `cluster.local`.
  package static let standard = TrustDomain(unchecked: "cluster.local")

  /// The name, 1 to 255 bytes.
  package let name: String

  /// Checks a name.
  ///
  /// - Throws: one of the trust domain's cases of `SPIFFEIDError`.
  package init(_ name: String) throws(SPIFFEIDError) {
    try TrustDomain.check(Array(name.utf8)[...])
    self.name = name
  }

  init(unchecked name: String) { self.name = name }

  package var description: String { name }

  static func check(_ bytes: ArraySlice<UInt8>) throws(SPIFFEIDError) {
    guard !bytes.isEmpty else { throw .emptyTrustDomain }
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
        continue
      case UInt8(ascii: "%"):
        throw .percentEncoding
      default:
        throw .trustDomainCharacter
      }
    }
    guard bytes.count <= maximumBytes else { throw .trustDomainTooLong }
  }
}

/// Who a workload is: `spiffe://<trust domain>/<path>` (SPIFFE-ID, section 2).
///
/// In this mesh the path is `/ns/<namespace>/sa/<account>`; other paths are valid identities of workloads of other
/// issuers, for which `namespace` and `account` are nil.
package struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
  /// Bytes that a whole ID may have.
  package static let maximumBytes = 2048

  package let trustDomain: TrustDomain
  /// The path with its leading slash; never empty, never only a slash.
  package let path: String

  /// Checks a text.
  ///
  /// - Throws: the first rule that the text breaks.
  package init(_ text: String) throws(SPIFFEIDError) {
    try self.init(bytes: Array(text.utf8))
  }

  /// Checks bytes from a certificate, which need not be UTF-8.
  ///
  /// - Throws: the first rule that the bytes break.
  package init(bytes: [UInt8]) throws(SPIFFEIDError) {
    guard bytes.count <= SPIFFEID.maximumBytes else { throw .tooLong }
    guard bytes.starts(with: SPIFFEID.scheme) else { throw .scheme }
    let rest = bytes[SPIFFEID.scheme.count...]
    guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else {
      try TrustDomain.check(rest)
      throw .noPath
    }
    try TrustDomain.check(rest[..<slash])
    try SPIFFEID.check(path: rest[slash...])
    trustDomain = TrustDomain(unchecked: String(decoding: rest[..<slash], as: UTF8.self))
    path = String(decoding: rest[slash...], as: UTF8.self)
  }

  /// The identity of an account of this mesh.
  ///
  /// - Throws: if `namespace` or `account` cannot be a segment of a path.
  package init(trustDomain: TrustDomain, namespace: String, account: String) throws(SPIFFEIDError) {
    for segment in [namespace, account] {
      let bytes = Array(segment.utf8)
      guard !bytes.contains(UInt8(ascii: "/")) else { throw .pathCharacter }
      try SPIFFEID.check(segment: bytes[...])
    }
    self.trustDomain = trustDomain
    path = "/ns/\(namespace)/sa/\(account)"
    guard uri.utf8.count <= SPIFFEID.maximumBytes else { throw .tooLong }
  }

  /// The whole text, as it stands in a certificate.
  package var uri: String { "spiffe://\(trustDomain.name)\(path)" }

  package var description: String { uri }

  /// The namespace, if the path is `/ns/<namespace>/sa/<account>`.
  package var namespace: String? { mesh?.namespace }

  /// The account, if the path is `/ns/<namespace>/sa/<account>`.
  package var account: String? { mesh?.account }

  private var mesh: (namespace: String, account: String)? {
    let parts = path.split(separator: "/")
    guard parts.count == 4, parts[0] == "ns", parts[2] == "sa" else { return nil }
    return (String(parts[1]), String(parts[3]))
  }

  private static let scheme = Array("spiffe://".utf8)

  private static func check(path: ArraySlice<UInt8>) throws(SPIFFEIDError) {
    let segments = path.dropFirst()
    guard !segments.isEmpty else { throw .noPath }
    for segment in segments.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      try check(segment: segment)
    }
  }

  private static func check(segment: ArraySlice<UInt8>) throws(SPIFFEIDError) {
    guard !segment.isEmpty else { throw .emptySegment }
    for byte in segment {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
        continue
      case UInt8(ascii: "%"):
        throw .percentEncoding
      default:
        throw .pathCharacter
      }
    }
    guard segment != [UInt8(ascii: ".")], segment != [UInt8(ascii: "."), UInt8(ascii: ".")] else { throw .dotSegment }
  }
}
