/// A duration as the Gateway API writes it (GEP-2257): up to four numbers with a unit, `1h30m`, `500ms`, `0s`.
package struct GatewayDuration: Sendable, Hashable, Comparable {
  /// Whole milliseconds, never negative; at most 4 × 99,999 h.
  package let milliseconds: Int64
  /// As it was written.
  package let text: String

  /// nil for text that is not of this form: no sign, no fraction, no space, at most five digits to a number.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    var total: Int64 = 0
    var index = 0
    var partCount = 0
    while index < bytes.count {
      partCount += 1
      guard partCount <= 4 else { return nil }
      var number: Int64 = 0
      let start = index
      while index < bytes.count, TextFormat.isDigit(bytes[index]) {
        guard index - start < 5 else { return nil }
        number = number * 10 + Int64(bytes[index] - 0x30)
        index += 1
      }
      guard index > start, index < bytes.count else { return nil }
      let isMilliseconds =
        bytes[index] == UInt8(ascii: "m") && index + 1 < bytes.count
        && bytes[index + 1] == UInt8(ascii: "s")
      switch bytes[index] {
      case UInt8(ascii: "h"): total += number * 3_600_000
      case UInt8(ascii: "m") where isMilliseconds: total += number
      case UInt8(ascii: "m"): total += number * 60_000
      case UInt8(ascii: "s"): total += number * 1000
      default: return nil
      }
      index += isMilliseconds ? 2 : 1
    }
    guard partCount > 0 else { return nil }
    milliseconds = total
    self.text = text
  }

  package static func == (left: GatewayDuration, right: GatewayDuration) -> Bool {
    left.milliseconds == right.milliseconds
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(milliseconds)
  }

  package static func < (left: GatewayDuration, right: GatewayDuration) -> Bool {
    left.milliseconds < right.milliseconds
  }
}
