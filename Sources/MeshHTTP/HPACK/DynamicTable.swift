// Unsafe by design: one ring of bytes for the entries' text, one ring of plain entries.
import MeshModel

/// The dynamic table of HPACK (RFC 7541, section 2.3.2) without an allocation per entry.
///
/// Memory is taken when the first entry is inserted: twice the ceiling for text, so that every entry lies in one piece
/// (an entry that does not fit at the end begins again at the front, where nothing can be alive), and one descriptor
/// per 32 bytes of the ceiling.
struct DynamicTable: ~Copyable {
  struct Entry {
    var offset: UInt32
    var nameLength: UInt32
    var valueLength: UInt32
    /// Hash of name and value (used by encoders).
    var hash: UInt32
    var known: KnownHeader
  }

  /// The largest size that `resize` may set, in bytes as HPACK counts them.
  let ceiling: Int
  /// The size in force.
  private(set) var limit: Int
  private(set) var size = 0
  private(set) var count = 0
  /// Entries inserted since the beginning; the newest has the number `inserted`.
  private(set) var inserted: UInt64 = 0
  private var text: UnsafeMutablePointer<UInt8>?
  private var entries: UnsafeMutablePointer<Entry>?
  private let slots: Int
  private var writeOffset = 0
  private var newest = 0

  /// An empty table that may grow to `ceiling` bytes.
  init(ceiling: Int) {
    self.ceiling = ceiling
    limit = ceiling
    slots = max(1, ceiling / 32)
  }

  deinit {
    text?.deallocate()
    entries?.deallocate()
  }

  /// Sets the size in force, throwing out the oldest entries as needed. False if it is over the ceiling.
  mutating func resize(_ newLimit: Int) -> Bool {
    guard newLimit <= ceiling else { return false }
    limit = newLimit
    evict(toFit: 0)
    return true
  }

  private mutating func evict(toFit room: Int) {
    guard let entries else { return }
    while count > 0, size &+ room > limit {
      let oldest = entries[wrap(newest &- count &+ 1)]
      size &-= Int(oldest.nameLength) &+ Int(oldest.valueLength) &+ 32
      count &-= 1
    }
  }

  @inline(__always)
  private func wrap(_ index: Int) -> Int { index < 0 ? index &+ slots : index >= slots ? index &- slots : index }

  /// Inserts an entry. The bytes must not be the table's own. An entry that is larger than the table empties it.
  ///
  /// - Returns: whether the entry is in the table now.
  @discardableResult
  mutating func insert(
    name: UnsafePointer<UInt8>, _ nameLength: Int, value: UnsafePointer<UInt8>, _ valueLength: Int, known: KnownHeader,
    hash: UInt32
  ) -> Bool {
    let bytes = nameLength &+ valueLength
    guard bytes &+ 32 <= limit else {
      size = 0
      count = 0
      return false
    }
    evict(toFit: bytes &+ 32)
    let text = self.text ?? .allocate(capacity: 2 * ceiling)
    let entries = self.entries ?? .allocate(capacity: slots)
    self.text = text
    self.entries = entries
    if writeOffset &+ bytes > 2 &* ceiling { writeOffset = 0 }
    (text + writeOffset).update(from: name, count: nameLength)
    (text + (writeOffset &+ nameLength)).update(from: value, count: valueLength)
    newest = wrap(newest &+ 1)
    entries[newest] = Entry(
      offset: UInt32(truncatingIfNeeded: writeOffset), nameLength: UInt32(truncatingIfNeeded: nameLength),
      valueLength: UInt32(truncatingIfNeeded: valueLength), hash: hash, known: known)
    writeOffset &+= bytes
    size &+= bytes &+ 32
    count &+= 1
    inserted &+= 1
    return true
  }

  /// The entry `age` places behind the newest (0 is the newest).
  @inline(__always)
  func entry(age: Int) -> Entry? {
    guard age >= 0, age < count, let entries else { return nil }
    return entries[wrap(newest &- age)]
  }

  /// The text of an entry: its name, and its value right behind.
  @inline(__always)
  func bytes(_ entry: Entry) -> UnsafePointer<UInt8>? {
    guard let text else { return nil }
    return UnsafePointer(text + Int(entry.offset))
  }

  /// The age of the entry with this number (see `inserted`), or nil if it has been thrown out.
  @inline(__always)
  func age(ofNumber number: UInt64) -> Int? {
    let age = inserted &- number
    return number > 0 && age < UInt64(count) ? Int(age) : nil
  }
}
