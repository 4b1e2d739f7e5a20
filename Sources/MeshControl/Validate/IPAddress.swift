/// Reads IP addresses as text, without asking the system.
package enum IPAddress {
  /// Whether `text` is an IPv4 address in four decimal parts or an IPv6 address (RFC 4291), without a zone.
  package static func isValid(_ text: String) -> Bool {
    text.utf8.contains(UInt8(ascii: ":")) ? isV6(text) : isV4(text[...])
  }

  private static func isV4(_ text: Substring) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy(TextFormat.isDigit),
          let number = Int(part), number <= 255
        else { return false }
        return part.utf8.count == 1 || part.utf8.first != 0x30
      }
  }

  private static func isV6(_ text: String) -> Bool {
    guard text.utf8.count <= 45 else { return false }
    let bytes = Array(text.utf8)
    // "::" may stand once, for one or more groups of zeros.
    let gaps = bytes.indices.dropLast().filter { bytes[$0] == 0x3A && bytes[$0 + 1] == 0x3A }
    guard gaps.count <= 1 else { return false }
    let halves: [[UInt8]] =
      gaps.first.map { [Array(bytes[..<$0]), Array(bytes[($0 + 2)...])] } ?? [bytes]
    var groupCount = 0
    for (index, half) in halves.enumerated() where !half.isEmpty {
      let isLastHalf = index == halves.count - 1
      let parts = half.split(separator: 0x3A, omittingEmptySubsequences: false)
      for (place, part) in parts.enumerated() {
        if isLastHalf, place == parts.count - 1, part.contains(0x2E) {
          guard isV4(String(decoding: part, as: UTF8.self)[...]) else { return false }
          groupCount += 2
        } else {
          guard (1...4).contains(part.count),
            part.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
          else { return false }
          groupCount += 1
        }
      }
    }
    return gaps.isEmpty ? groupCount == 8 : groupCount <= 7
  }

  /// How far an address reaches.
  package enum Reach: Sendable, Equatable {
    /// A machine's address, in a private network or a public one.
    case ordinary
    /// The machine that asks, itself.
    case loopback
    /// A link, many machines, or none: link-local, multicast, unspecified, reserved.
    case unusable
  }

  /// The reach of a valid address (RFC 6890); an IPv4 address inside an IPv6 one counts as what it is.
  package static func reach(of text: String) -> Reach {
    guard let bytes = bytes(of: text) else { return .unusable }
    if bytes.count == 4 { return reachV4(bytes[...]) }
    if bytes[..<10].allSatisfy({ $0 == 0 }) {
      if bytes[10] == 0xFF, bytes[11] == 0xFF { return reachV4(bytes[12...]) }
      // ::1, ::, and the IPv4-compatible form, which is of the past.
      if bytes[10] == 0, bytes[11] == 0 { return bytes[12...].elementsEqual([0, 0, 0, 1]) ? .loopback : .unusable }
    }
    let isLocal = bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    return bytes[0] == 0xFF || isLocal ? .unusable : .ordinary
  }

  private static func reachV4(_ bytes: ArraySlice<UInt8>) -> Reach {
    let first = bytes.first ?? 0
    switch first {
    case 127: return .loopback
    case 0, 224...255: return .unusable
    case 169 where bytes.dropFirst().first == 254: return .unusable
    default: return .ordinary
    }
  }

  /// The four or sixteen bytes of an address; nil for what is none.
  private static func bytes(of text: String) -> [UInt8]? {
    guard isValid(text) else { return nil }
    func decimal(_ part: Substring) -> [UInt8] { part.split(separator: ".").compactMap { UInt8($0) } }
    guard text.utf8.contains(UInt8(ascii: ":")) else { return decimal(text[...]) }
    // What stands before and after "::"; without it, everything stands before.
    var sides: [[UInt8]] = [[], []]
    var side = 0
    for (index, group) in text.split(separator: ":", omittingEmptySubsequences: false).enumerated() {
      if group.isEmpty {
        if index > 0 { side = 1 }
      } else if group.contains(".") {
        sides[side] += decimal(group)
      } else {
        let number = UInt16(group, radix: 16) ?? 0
        sides[side] += [UInt8(number >> 8), UInt8(number & 0xFF)]
      }
    }
    let missing = 16 - sides[0].count - sides[1].count
    return missing >= 0 ? sides[0] + [UInt8](repeating: 0, count: missing) + sides[1] : nil
  }
}
