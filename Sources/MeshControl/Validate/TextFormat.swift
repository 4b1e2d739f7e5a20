/// Forms of text that fields may be bound to. All are decided byte by byte, in one pass.
package enum TextFormat: Sendable, Equatable {
  /// RFC 1123 label: lower-case letters, digits, `-` inside, at most 63.
  case dnsLabel
  /// RFC 1035 label, as services are named: like `dnsLabel`, and a letter first.
  case serviceName
  /// RFC 1123 subdomain: labels with dots between, at most 253.
  case dnsSubdomain
  /// The empty text or a subdomain: an API group.
  case apiGroup
  /// A subdomain that may begin with `*.`.
  case hostname
  /// The name of a kind: letters, digits, `-` inside, a letter first, at most 63.
  case kindName
  /// A header's or query parameter's name: a token of RFC 9110.
  case token
  /// A header's value: visible ASCII with single spaces or tabs inside.
  case headerValue
  /// A port's name: lower-case letters, digits, `-` inside, at least one letter, at most 15 (RFC 6335).
  case portName
  /// A label's key: an optional prefix `subdomain/`, then up to 63 letters, digits, `-`, `_`, `.`.
  case labelKey
  /// A label's value: empty, or up to 63 letters, digits, `-`, `_`, `.`.
  case labelValue
  /// An IPv4 or IPv6 address.
  case ipAddress
  /// A Gateway API duration (GEP-2257): `1h30m`, `500ms`.
  case duration

  /// Why `text` is not of this form and what would be; nil when it is.
  package func fault(in text: String) -> String? {
    isMet(by: text) ? nil : "must be \(demand)"
  }

  /// What the form asks for, in words.
  package var demand: String {
    switch self {
    case .dnsLabel: "lower-case letters, digits and '-', begin and end with a letter or digit, at most 63 (RFC 1123)"
    case .serviceName: "lower-case letters, digits and '-', begin with a letter, end with a letter or digit, at most 63"
    case .dnsSubdomain: "lower-case letters, digits, '-' and '.', like example.com, at most 253 (RFC 1123)"
    case .apiGroup: "empty (the core group) or a lower-case domain name like apus.dev"
    case .hostname: "a lower-case host name, which may begin with \"*.\", like *.example.com"
    case .kindName: "a kind's name like Service: letters, digits and '-', a letter first"
    case .token: "a token: letters, digits and any of !#$%&'*+-.^_`|~"
    case .headerValue: "visible ASCII, with single spaces or tabs between words only"
    case .portName: "lower-case letters, digits and '-', with at least one letter, at most 15"
    case .labelKey: "letters, digits, '-', '_', '.', at most 63, after an optional prefix like example.com/"
    case .labelValue: "empty or letters, digits, '-', '_', '.', begin and end with a letter or digit, at most 63"
    case .ipAddress: "an IPv4 or IPv6 address like 10.0.0.7"
    case .duration: "up to four numbers of at most five digits with unit h, m, s or ms, like 1m30s or 500ms"
    }
  }

  private func isMet(by text: String) -> Bool {
    let bytes = Array(text.utf8)
    switch self {
    case .dnsLabel: return Self.isLabel(bytes[...])
    case .serviceName: return Self.isLabel(bytes[...]) && bytes.first.map(Self.isLower) == true
    case .dnsSubdomain: return Self.isSubdomain(bytes[...])
    case .apiGroup: return bytes.isEmpty || Self.isSubdomain(bytes[...])
    case .hostname: return Self.isSubdomain(bytes.starts(with: [0x2A, 0x2E]) ? bytes[2...] : bytes[...])
    case .kindName:
      return Self.isName(bytes[...], maximum: 63, inner: { $0 == 0x2D }) && !Self.isDigit(bytes.first ?? 0x30)
    case .token: return !bytes.isEmpty && bytes.allSatisfy(Self.isTokenByte)
    case .headerValue: return Self.isHeaderValue(bytes)
    case .portName:
      return bytes.count <= 15 && Self.isLabel(bytes[...]) && bytes.contains(where: Self.isLower)
        && !zip(bytes, bytes.dropFirst()).contains { $0 == 0x2D && $1 == 0x2D }
    case .labelKey: return Self.isLabelKey(bytes)
    case .labelValue: return bytes.isEmpty || Self.isQualified(bytes[...])
    case .ipAddress: return IPAddress.isValid(text)
    case .duration: return GatewayDuration(text) != nil
    }
  }

  static func isLower(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }
  static func isUpper(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) }
  static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
  static func isAlphanumeric(_ byte: UInt8) -> Bool { isLower(byte) || isUpper(byte) || isDigit(byte) }

  /// Whether the byte may stand in a token of RFC 9110, 5.6.2.
  static func isTokenByte(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }

  private static func isName(_ bytes: ArraySlice<UInt8>, maximum: Int, inner: (UInt8) -> Bool) -> Bool {
    guard let first = bytes.first, let last = bytes.last, bytes.count <= maximum else { return false }
    return isAlphanumeric(first) && isAlphanumeric(last) && bytes.allSatisfy { isAlphanumeric($0) || inner($0) }
  }

  private static func isLabel(_ bytes: ArraySlice<UInt8>) -> Bool {
    isName(bytes, maximum: 63, inner: { $0 == 0x2D }) && !bytes.contains(where: isUpper)
  }

  private static func isSubdomain(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard bytes.count <= 253 else { return false }
    // A label of a subdomain is not bound to 63 in Kubernetes: the whole is bound to 253.
    return bytes.split(separator: 0x2E, omittingEmptySubsequences: false).allSatisfy { part in
      isName(part, maximum: 253, inner: { $0 == 0x2D }) && !part.contains(where: isUpper)
    }
  }

  private static func isQualified(_ bytes: ArraySlice<UInt8>) -> Bool {
    isName(bytes, maximum: 63, inner: { $0 == 0x2D || $0 == 0x5F || $0 == 0x2E })
  }

  private static func isLabelKey(_ bytes: [UInt8]) -> Bool {
    let parts = bytes.split(separator: 0x2F, omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return isQualified(parts[0])
    case 2: return isSubdomain(parts[0]) && isQualified(parts[1])
    default: return false
    }
  }

  private static func isHeaderValue(_ bytes: [UInt8]) -> Bool {
    var afterSpace = true
    for byte in bytes {
      switch byte {
      case 0x21...0x7E: afterSpace = false
      case 0x20, 0x09:
        if afterSpace { return false }
        afterSpace = true
      default: return false
      }
    }
    return !afterSpace
  }
}
