/// The heads of the last requests, kept only while somebody watches: memory of a fixed size, taken when the first one is
/// kept. A head is kept as it was sent on, cut where it is too long. Not to be shared between threads.
package final class HeadRing {
  /// Heads that are kept, and bytes of each.
  package static let capacity = 256
  package static let headBytes = 4_096

  private struct Place: BitwiseCopyable {
    /// The decision's number in the `DecisionRing`; 0: nothing is kept here.
    var sequence: UInt64 = 0
    var count: Int32 = 0
  }

  private var places: [Place] = []
  private let bytes: UnsafeMutablePointer<UInt8>

  package init() {
    places = Array(repeating: Place(), count: Self.capacity)
    bytes = .allocate(capacity: Self.capacity * Self.headBytes)
  }

  deinit { bytes.deallocate() }

  /// Keeps the head of a decision.
  /// - Parameter sequence: the decision's number; above 0.
  package func keep(_ sequence: UInt64, _ head: UnsafeBufferPointer<UInt8>) {
    let place = Int(sequence % UInt64(Self.capacity))
    let count = min(head.count, Self.headBytes)
    places[place] = Place(sequence: sequence, count: Int32(count))
    if count > 0, let start = head.baseAddress { (bytes + place * Self.headBytes).update(from: start, count: count) }
  }

  /// The head of a decision; nil where none is kept.
  package func head(of sequence: UInt64) -> [UInt8]? {
    let place = Int(sequence % UInt64(Self.capacity))
    guard sequence > 0, places[place].sequence == sequence else { return nil }
    return Array(UnsafeBufferPointer(start: bytes + place * Self.headBytes, count: Int(places[place].count)))
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
