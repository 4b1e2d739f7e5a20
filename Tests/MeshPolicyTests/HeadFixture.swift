import MeshModel

/// A request head in memory of its own, as a codec would hand it over.
final class HeadFixture {
  private var fields: UnsafeMutablePointer<FieldRef>
  private let bytes: UnsafeMutablePointer<UInt8>
  private(set) var head: MessageHead

  init(
    _ path: String, method: Method = .get, query: String = "", authority: String = "shop",
    headers: [(String, String)] = []
  ) {
    var text: [UInt8] = []
    func put(_ string: String) -> ByteRange {
      defer { text += string.utf8 }
      return ByteRange(offset: UInt32(text.count), length: UInt32(string.utf8.count))
    }
    let (pathRange, queryRange, authorityRange) = (put(path), put(query), put(authority))
    let refs = headers.map { name, value in
      let known = KnownHeader.allCases.first { $0.name.description == name.lowercased() } ?? .other
      return FieldRef(name: put(name), value: put(value), known: known)
    }
    bytes = .allocate(capacity: text.count + 1)
    bytes.initialize(from: text, count: text.count)
    fields = .allocate(capacity: refs.count + 1)
    fields.initialize(from: refs, count: refs.count)
    head = MessageHead(base: bytes, fields: fields)
    head.fieldCount = refs.count
    head.methodToken = method
    head.path = pathRange
    head.query = queryRange
    head.authority = authorityRange
  }

  deinit {
    bytes.deallocate()
    fields.deallocate()
  }
}

/// Bytes that a writer wrote, as text.
func written(capacity: Int = 4096, _ body: (inout FixedWriter) -> Void) -> String? {
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(1, capacity)) { buffer in
    var writer = FixedWriter(UnsafeMutableBufferPointer(rebasing: buffer[..<capacity]))
    body(&writer)
    return writer.overflowed ? nil : String(decoding: writer.written, as: UTF8.self)
  }
}

/// Keeps `objects` alive up to here: views point into memory that they own.
func keep(_ objects: AnyObject...) {
  withExtendedLifetime(objects) {}
}
