/// The heads of the last requests, kept only while somebody watches: memory of a fixed size, taken when the first one is
/// kept. A head is kept as it was sent on, cut where it is too long. Not to be shared between threads.
package final class HeadRing {
  /// Requests whose heads are kept, and bytes of each head.
  package static let capacity = 256
  package static let headBytes = 4_096

  private struct Place: BitwiseCopyable {
    /// The decision's number in the `DecisionRing`; 0: nothing is kept here.
    var sequence: UInt64 = 0
    var requestCount: Int32 = 0
    var responseCount: Int32 = 0
  }

  /// The heads of one request.
  package struct Heads: Sendable, Equatable {
    package var request: [UInt8] = []
    /// Empty where there was no answer.
    package var response: [UInt8] = []

    package init() {}
  }

  private var places: [Place] = []
  private let bytes: UnsafeMutablePointer<UInt8>

  package init() {
    places = Array(repeating: Place(), count: Self.capacity)
    // Memory that is never written is never taken from the system.
    bytes = .allocate(capacity: Self.capacity * Self.headBytes * 2)
  }

  deinit { bytes.deallocate() }

  /// Keeps the heads of a decision.
  /// - Parameter sequence: the decision's number; above 0.
  package func keep(
    _ sequence: UInt64, request: UnsafeBufferPointer<UInt8>, response: UnsafeBufferPointer<UInt8>
  ) {
    let place = Int(sequence % UInt64(Self.capacity))
    let start = bytes + place * Self.headBytes * 2
    places[place] = Place(
      sequence: sequence, requestCount: Self.copy(request, to: start),
      responseCount: Self.copy(response, to: start + Self.headBytes))
  }

  private static func copy(_ head: UnsafeBufferPointer<UInt8>, to place: UnsafeMutablePointer<UInt8>) -> Int32 {
    let count = min(head.count, headBytes)
    if count > 0, let start = head.baseAddress { place.update(from: start, count: count) }
    return Int32(count)
  }

  /// The heads of a decision; nil where none are kept.
  package func heads(of sequence: UInt64) -> Heads? {
    let place = Int(sequence % UInt64(Self.capacity))
    guard sequence > 0, places[place].sequence == sequence else { return nil }
    let start = bytes + place * Self.headBytes * 2
    var heads = Heads()
    heads.request = Array(UnsafeBufferPointer(start: start, count: Int(places[place].requestCount)))
    heads.response = Array(
      UnsafeBufferPointer(start: start + Self.headBytes, count: Int(places[place].responseCount)))
    return heads
  }
}

/// A head as it is shown: fields with their values, those that carry secrets without.
package enum ShownHead {
  /// What stands for a value that is not shown.
  package static let mark = "[redacted]"
  /// Fields whose values are never shown.
  package static let secretNames: Set<String> = [
    "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-forwarded-client-cert",
  ]

  /// The fields of an HTTP/1 head, its first line left out. What is no field, as the rest of one that was cut, is left out.
  /// - Parameter redacted: names in lower case whose values are not shown either.
  package static func fields(of head: [UInt8], redacting redacted: Set<String>) -> [(name: String, value: String)] {
    var fields: [(name: String, value: String)] = []
    for line in head.split(separator: 0x0A).dropFirst() {
      let line = line.last == 0x0D ? line.dropLast() : line
      guard let colon = line.firstIndex(of: 0x3A), colon > line.startIndex else { continue }
      let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
      var value = line[(colon + 1)...]
      while value.first == 0x20 { value = value.dropFirst() }
      let isSecret = secretNames.contains(name) || redacted.contains(name)
      fields.append((name, isSecret ? mark : String(decoding: value, as: UTF8.self)))
    }
    return fields
  }
}
