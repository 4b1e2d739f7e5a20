// Unsafe by design: decoded fields are laid into an arena, as ranges relative to its start.
package import MeshModel

/// Receives the fields of one header block, checks each (RFC 9113, sections 8.2 and 8.3) and lays them out as a head.
///
/// A field that breaks a rule makes the head malformed but does not stop the decoding, which must go on to keep the
/// compression state right. What is over the limits is decoded and dropped.
package struct HeadSink {
  let scratch: HTTP2Scratch
  private let maxListBytes: Int
  private let maxFields: Int
  private(set) var used = 0
  /// Fields other than pseudo-header fields.
  package private(set) var fieldCount = 0
  /// The size so far as RFC 9113 counts it.
  package private(set) var listBytes = 0
  /// Whether the head is over its limits; then nothing is kept of it.
  package private(set) var tooLarge = false
  /// The first rule that was broken.
  package private(set) var problem: HTTP2Reason?
  package private(set) var method: ByteRange?
  package private(set) var scheme: ByteRange?
  package private(set) var authority: ByteRange?
  package private(set) var path: ByteRange?
  package private(set) var status: ByteRange?
  package private(set) var protocolName: ByteRange?
  package private(set) var contentLength: UInt64?
  private(set) var host: ByteRange?
  private(set) var cookies = 0
  private(set) var cookieBytes = 0

  /// An empty sink over the scratch.
  package init(_ scratch: HTTP2Scratch, limits: HTTP2Limits) {
    self.scratch = scratch
    maxListBytes = limits.maxHeaderListBytes
    maxFields = min(limits.maxFields, scratch.fieldCapacity)
  }

  /// Where the next bytes go.
  @inline(__always)
  var free: UnsafeMutablePointer<UInt8> { scratch.arena + used }

  /// How many bytes are free.
  @inline(__always)
  var room: Int { scratch.arenaBytes &- used }

  /// Whether the block unpacks to so much that it can only be meant to (RFC 9113, section 10.5.1).
  var isBomb: Bool { listBytes > 4 &* maxListBytes }

  /// Starts a field. Over the limits the arena serves only as a workbench.
  @inline(__always)
  mutating func begin() {
    if tooLarge { used = 0 }
  }

  /// Takes the `count` bytes that were written to `free`.
  @inline(__always)
  mutating func take(_ count: Int) -> ByteRange {
    let range = ByteRange(from: used, to: used &+ count)
    used &+= count
    return range
  }

  /// Copies bytes in; nil if there is no room.
  @inline(__always)
  mutating func store(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ByteRange? {
    guard count <= room else { return nil }
    free.update(from: bytes, count: count)
    return take(count)
  }

  @inline(__always)
  func pointer(_ range: ByteRange) -> UnsafeMutablePointer<UInt8> { scratch.arena + Int(range.offset) }

  /// Takes in one field.
  @inline(__always)
  mutating func accept(name: ByteRange, value: ByteRange, known: KnownHeader) {
    listBytes &+= name.size &+ value.size &+ 32
    if listBytes > maxListBytes { tooLarge = true }
    if tooLarge || problem != nil { return }
    if let broken = check(name, value, known) {
      problem = broken
      return
    }
    if known.tag >= KnownHeader.pseudoMethod.tag { return pseudo(value, known) }
    guard fieldCount < maxFields else {
      tooLarge = true
      return
    }
    let field = scratch.fields + fieldCount
    field.pointee.name = name
    field.pointee.value = value
    field.pointee.known = known
    fieldCount &+= 1
    if known.tag != 0 { problem = note(value, known) }
  }

  /// Names are tokens in lower case, values have no control bytes and no space around them.
  @inline(__always)
  private func check(_ name: ByteRange, _ value: ByteRange, _ known: KnownHeader) -> HTTP2Reason? {
    let bytes = pointer(name)
    let count = name.size
    guard count > 0 else { return .badFieldName }
    if bytes[0] == 0x3A {
      if known.tag < KnownHeader.pseudoMethod.tag { return .badPseudoField }
      // Known by now, so of known spelling but for capitals.
    }
    var index = bytes[0] == 0x3A ? 1 : 0
    while index < count {
      guard ByteTables.isToken(bytes[index]), !ByteTables.isUpper(bytes[index]) else { return .badFieldName }
      index &+= 1
    }
    let text = UnsafePointer(pointer(value))
    let length = value.size
    guard length > 0 else { return nil }
    var stop = ByteScan.firstControl(text, from: 0, to: length)
    while stop < length, text[stop] == 0x09 { stop = ByteScan.firstControl(text, from: stop &+ 1, to: length) }
    guard stop == length else { return .badFieldValue }
    let first = text[0]
    let last = text[length &- 1]
    return first == 0x20 || first == 0x09 || last == 0x20 || last == 0x09 ? .badFieldValue : nil
  }

  private mutating func pseudo(_ value: ByteRange, _ known: KnownHeader) {
    var place: ByteRange?
    switch known {
    case .pseudoMethod: (place, method) = (method, value)
    case .pseudoScheme: (place, scheme) = (scheme, value)
    case .pseudoAuthority: (place, authority) = (authority, value)
    case .pseudoPath: (place, path) = (path, value)
    case .pseudoStatus: (place, status) = (status, value)
    default: (place, protocolName) = (protocolName, value)
    }
    // Not after other fields, and not twice.
    if fieldCount > 0 || place != nil { problem = .badPseudoField }
  }

  private mutating func note(_ value: ByteRange, _ known: KnownHeader) -> HTTP2Reason? {
    switch known {
    case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings:
      return .connectionSpecificField
    case .te:
      return ByteScan.equal(pointer(value), value.size, lower: "trailers") ? nil : .badTE
    case .host:
      if host != nil { return .badAuthority }
      host = value
    case .contentLength:
      guard contentLength == nil, let length = Decimal.parse(pointer(value), value.size) else {
        return .badContentLength
      }
      contentLength = length
    case .cookie:
      cookies &+= 1
      cookieBytes &+= value.size &+ 2
    default: break
    }
    return nil
  }

  /// Joins cookie crumbs into one field (RFC 9113, section 8.2.3), which is what everything behind the codec expects.
  mutating func joinCookies() {
    guard cookies > 1, cookieBytes <= room else { return }
    let start = used
    var kept = 0
    var first: Int?
    for index in 0..<fieldCount {
      let field = scratch.fields[index]
      if field.known.tag == KnownHeader.cookie.tag {
        if first != nil {
          free[0] = 0x3B
          free[1] = 0x20
          used &+= 2
        }
        free.update(from: pointer(field.value), count: field.value.size)
        used &+= field.value.size
        if first != nil { continue }
        first = kept
      }
      scratch.fields[kept] = field
      kept &+= 1
    }
    fieldCount = kept
    if let first { scratch.fields[first].value = ByteRange(from: start, to: used) }
  }
}
