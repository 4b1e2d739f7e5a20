package import MeshModel

/// Writes moments as people read them.
package enum CivilTime {
  /// `Sun, 06 Nov 1994 08:49:37 GMT`, the date of HTTP's fields (RFC 9110, section 5.6.7), from seconds since 1970. Years 0
  /// to 9999; others are held there.
  package static func writeHTTP(seconds: Int64, into writer: inout FixedWriter) {
    let held = min(max(seconds, -62_167_219_200), 253_402_300_799)
    let day = held >= 0 ? held / 86_400 : (held &- 86_399) / 86_400
    let rest = UInt64(held &- day &* 86_400)
    let (year, month, dayOfMonth) = date(day)
    let weekday = (day &+ 4) % 7
    name(Int(weekday < 0 ? weekday &+ 7 : weekday), of: "SunMonTueWedThuFriSat", into: &writer)
    writer.append(", ")
    digits(UInt64(dayOfMonth), 2, into: &writer)
    writer.append(" ")
    name(Int(month &- 1), of: "JanFebMarAprMayJunJulAugSepOctNovDec", into: &writer)
    writer.append(" ")
    digits(UInt64(year), 4, into: &writer)
    writer.append(" ")
    time(rest, into: &writer)
    writer.append(" GMT")
  }

  /// `08:49:37`, from seconds since midnight.
  @inline(__always)
  private static func time(_ seconds: UInt64, into writer: inout FixedWriter) {
    digits(seconds / 3_600, 2, into: &writer)
    writer.append(":")
    digits(seconds / 60 % 60, 2, into: &writer)
    writer.append(":")
    digits(seconds % 60, 2, into: &writer)
  }

  /// One of the names of three letters that stand side by side.
  private static func name(_ index: Int, of names: StaticString, into writer: inout FixedWriter) {
    writer.append(names.utf8Start + 3 * index, count: 3)
  }

  /// `2026-01-31T23:59:59.123Z` (RFC 3339, UTC), from milliseconds since 1970. Years 0 to 9999; others are held there.
  static func write(milliseconds: Int64, into writer: inout FixedWriter) {
    let held = held(milliseconds)
    let day = held >= 0 ? held / 86_400_000 : (held &- 86_399_999) / 86_400_000
    let rest = UInt64(held &- day &* 86_400_000)
    let (year, month, dayOfMonth) = date(day)
    digits(UInt64(year), 4, into: &writer)
    writer.append("-")
    digits(UInt64(month), 2, into: &writer)
    writer.append("-")
    digits(UInt64(dayOfMonth), 2, into: &writer)
    writer.append("T")
    time(rest / 1_000, into: &writer)
    writer.append(".")
    digits(rest % 1_000, 3, into: &writer)
    writer.append("Z")
  }

  /// The nearest moment of the years 0 to 9999.
  @inline(__always)
  static func held(_ milliseconds: Int64) -> Int64 { min(max(milliseconds, -62_167_219_200_000), 253_402_300_799_999) }

  @inline(__always)
  private static func pair(_ value: UInt64, into writer: inout FixedWriter) {
    writer.append(UInt8(truncatingIfNeeded: 48 &+ value / 10 % 10))
    writer.append(UInt8(truncatingIfNeeded: 48 &+ value % 10))
  }

  /// `count` decimal digits of `value`, with zeros before it: 2, 3 or 4 of them.
  static func digits(_ value: UInt64, _ count: Int, into writer: inout FixedWriter) {
    // Divisions by constants are multiplications; those by variables cost as much as the rest of a line.
    switch count {
    case 2: pair(value, into: &writer)
    case 3:
      writer.append(UInt8(truncatingIfNeeded: 48 &+ value / 100 % 10))
      pair(value, into: &writer)
    default:
      pair(value / 100, into: &writer)
      pair(value, into: &writer)
    }
  }

  /// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar carried back. Years are counted
  /// from March, so that the leap day is the last.
  private static func date(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = day &+ 719_468
    let era = (shifted >= 0 ? shifted : shifted &- 146_096) / 146_097
    let dayOfEra = shifted &- era &* 146_097
    let yearOfEra = (dayOfEra &- dayOfEra / 1_460 &+ dayOfEra / 36_524 &- dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra &- (365 &* yearOfEra &+ yearOfEra / 4 &- yearOfEra / 100)
    let marchMonth = (5 &* dayOfYear &+ 2) / 153
    let dayOfMonth = dayOfYear &- (153 &* marchMonth &+ 2) / 5 &+ 1
    let month = marchMonth < 10 ? marchMonth &+ 3 : marchMonth &- 9
    return (yearOfEra &+ era &* 400 &+ (month <= 2 ? 1 : 0), month, dayOfMonth)
  }
}
