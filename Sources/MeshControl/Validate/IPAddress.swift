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
}
