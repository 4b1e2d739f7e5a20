// Unsafe by design: texts for log lines, in memory that stays where it is.

/// The identity at the called end of each edge, by the edge's number: what the access log says of it without asking the
/// `LabelDictionary`, which other threads use too. Noted when an edge is first seen; numbers never change their meaning.
struct EdgePrincipals {
  typealias Bytes = UnsafeBufferPointer<UInt8>

  private var texts: UnsafeMutablePointer<Bytes>
  private var capacity = 64

  init() {
    texts = .allocate(capacity: capacity)
    texts.initialize(repeating: Bytes(start: nil, count: 0), count: capacity)
  }

  /// Empty where none was noted.
  subscript(edge: UInt32) -> Bytes { Int(edge) < capacity ? texts[Int(edge)] : Bytes(start: nil, count: 0) }

  /// Notes the identity of an edge, once.
  mutating func note(_ edge: UInt32, _ principal: String) {
    guard !principal.isEmpty, self[edge].isEmpty else { return }
    while Int(edge) >= capacity { grow() }
    let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: principal.utf8.count)
    _ = text.initialize(from: principal.utf8)
    texts[Int(edge)] = Bytes(text)
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<Bytes>.allocate(capacity: capacity * 2)
    larger.initialize(from: texts, count: capacity)
    (larger + capacity).initialize(repeating: Bytes(start: nil, count: 0), count: capacity)
    texts.deallocate()
    texts = larger
    capacity *= 2
  }

  func deallocate() {
    for index in 0..<capacity { texts[index].deallocate() }
    texts.deallocate()
  }
}
