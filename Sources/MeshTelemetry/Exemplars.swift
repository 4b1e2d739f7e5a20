import MeshModel
import MeshWire

/// A sampled request that stands for its bucket of a histogram.
package struct Exemplar: Sendable, BitwiseCopyable {
  package var high: UInt64
  package var low: UInt64
  package var span: UInt64
  package var durationNanoseconds: UInt64
  /// When it ended, nanoseconds since 1970.
  package var wallNanoseconds: UInt64

  /// As OTLP has it: seconds.
  func write(into writer: inout ProtobufWriter) {
    writer.fixed64(2, wallNanoseconds)
    writer.choice(3, double: Double(durationNanoseconds) / 1_000_000_000)
    writer.identifier(4, span)
    writer.identifier(5, high, low)
  }

  /// As OpenMetrics has it: `{labels} value timestamp`, the value in milliseconds.
  var openMetrics: String {
    let seconds = wallNanoseconds / 1_000_000_000
    let fraction = String(wallNanoseconds / 1_000_000 % 1_000 + 1_000).dropFirst()
    let value = Double(durationNanoseconds) / 1_000_000
    return
      "{trace_id=\"\(Self.hex(high))\(Self.hex(low))\",span_id=\"\(Self.hex(span))\"} \(value) \(seconds).\(fraction)"
  }

  private static func hex(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// The exemplars of one loop: the last sampled request for a series' bucket, in a table of a fixed size. Where two fall on
/// one place the later stays. Nothing is allocated after the first.
struct ExemplarStore {
  private static let capacity = 1_024

  typealias Place = ExemplarPlace

  private var places: UnsafeMutablePointer<Place>?

  func deallocate() { places?.deallocate() }

  mutating func note(_ key: PackedKey, bucket: Int, _ exemplar: Exemplar) {
    if places == nil {
      let fresh = UnsafeMutablePointer<Place>.allocate(capacity: Self.capacity)
      fresh.initialize(
        repeating: Place(
          key: PackedKey(high: 0, low: 0), bucket: 255,
          exemplar: Exemplar(high: 0, low: 0, span: 0, durationNanoseconds: 0, wallNanoseconds: 0)),
        count: Self.capacity)
      places = fresh
    }
    let product = (key.high ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: key.low ^ 0xA076_1D64_78BD_642F)
    // Buckets of one series lie side by side.
    let home = Int(truncatingIfNeeded: (product.high ^ product.low) &* 32 &+ UInt64(bucket)) & (Self.capacity &- 1)
    places?[home] = Place(key: key, bucket: UInt8(truncatingIfNeeded: bucket), exemplar: exemplar)
  }

  /// How many places there are; 0 until the first exemplar.
  var count: Int { places == nil ? 0 : Self.capacity }

  /// Those at some places that are taken.
  func copy(_ range: Range<Int>) -> [Place] {
    guard let places else { return [] }
    return range.clamped(to: 0..<Self.capacity).compactMap { places[$0].bucket == 255 ? nil : places[$0] }
  }
}

/// An exemplar with what it stands for.
struct ExemplarPlace: Sendable, BitwiseCopyable {
  var key: PackedKey
  /// 255: free.
  var bucket: UInt8
  var exemplar: Exemplar
}

/// Exemplars by series and bucket, at a moment.
package struct ExemplarSet: Sendable {
  private struct Key: Hashable {
    var series: PackedKey
    var bucket: Int
  }

  private var found: [Key: Exemplar] = [:]

  /// How many there are.
  package var count: Int { found.count }

  /// The exemplar of a bucket.
  package func find(_ key: RequestKey, bucket: Int) -> Exemplar? {
    found.isEmpty ? nil : found[Key(series: key.ofAllMethods.packed, bucket: bucket)]
  }

  mutating func add(_ place: ExemplarPlace) {
    found[Key(series: place.key, bucket: Int(place.bucket))] = place.exemplar
  }

  /// Of two loops' exemplars for one bucket the later stays.
  mutating func merge(_ other: ExemplarSet) {
    found.merge(other.found) { $0.wallNanoseconds >= $1.wallNanoseconds ? $0 : $1 }
  }
}
