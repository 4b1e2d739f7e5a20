// Unsafe by design: byte classes as constants in read-only memory, and scans that look at eight bytes at a time.

/// Classes of bytes, looked up in constant tables of 256 entries.
enum ByteTables {
  /// 1 for the bytes of a token (RFC 9110, 5.6.2), 0 for all others.
  @inline(__always)
  static func isToken(_ byte: UInt8) -> Bool { token[Int(byte)] != 0x30 }

  /// "1" for `tchar`, "0" otherwise. Rows of 32 bytes, from 0x00 to 0xFF.
  @inline(__always)
  private static var token: UnsafePointer<UInt8> {
    let table: StaticString = """
      00000000000000000000000000000000\
      01011111001101101111111111000000\
      01111111111111111111111111100011\
      11111111111111111111111111101010\
      00000000000000000000000000000000\
      00000000000000000000000000000000\
      00000000000000000000000000000000\
      00000000000000000000000000000000
      """
    return table.utf8Start
  }

  /// What a byte means in a request target.
  @inline(__always)
  static func targetClass(_ byte: UInt8) -> UInt8 { target[Int(byte)] }

  /// An ordinary byte of a path.
  static let targetPlain: UInt8 = 0x30
  /// `/`: what follows may have to be normalised.
  static let targetSlash: UInt8 = 0x31
  /// `%` or `\`: the path has to go through the normaliser.
  static let targetEscape: UInt8 = 0x32
  /// `?`: the query begins.
  static let targetQuery: UInt8 = 0x33
  /// A space: the target ends.
  static let targetSpace: UInt8 = 0x34
  // 0x35 marks every byte that may not stand in a target: controls, `#`, DEL and everything above.

  @inline(__always)
  private static var target: UnsafePointer<UInt8> {
    let table: StaticString = """
      55555555555555555555555555555555\
      40050200000000010000000000000003\
      00000000000000000000000000002000\
      00000000000000000000000000000005\
      55555555555555555555555555555555\
      55555555555555555555555555555555\
      55555555555555555555555555555555\
      55555555555555555555555555555555
      """
    return table.utf8Start
  }

  /// Whether the byte may stand in an authority without user information (RFC 3986, 3.2.2 and 3.2.3).
  @inline(__always)
  static func isAuthority(_ byte: UInt8) -> Bool { authority[Int(byte)] != 0x30 }

  /// Whether the byte is a capital letter, A to Z.
  @inline(__always)
  static func isUpper(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }

  /// unreserved, sub-delims, `:`, `[`, `]`, `%`.
  @inline(__always)
  private static var authority: UnsafePointer<UInt8> {
    let table: StaticString = """
      00000000000000000000000000000000\
      01001111111111101111111111110100\
      01111111111111111111111111110101\
      01111111111111111111111111100010\
      00000000000000000000000000000000\
      00000000000000000000000000000000\
      00000000000000000000000000000000\
      00000000000000000000000000000000
      """
    return table.utf8Start
  }

  /// Whether the byte is unreserved (RFC 3986, 2.3), so that its percent-encoded form means the same.
  @inline(__always)
  static func isUnreserved(_ byte: UInt8) -> Bool {
    (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
  }

  /// The value of a hexadecimal digit, or 255.
  @inline(__always)
  static func hexValue(_ byte: UInt8) -> UInt8 {
    if byte &- 0x30 < 10 { return byte &- 0x30 }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : 255
  }
}

/// Scans over raw bytes. Every function reads only `[from, end)`.
enum ByteScan {
  static let ones: UInt64 = 0x0101_0101_0101_0101
  static let highBits: UInt64 = 0x8080_8080_8080_8080

  @inline(__always)
  static func load8(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
  }

  @inline(__always)
  static func load4(_ pointer: UnsafePointer<UInt8>) -> UInt32 {
    UInt32(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt32.self))
  }

  /// The index of the first control byte (below 0x20, or 0x7F), or `end`.
  ///
  /// Of a word of eight bytes, the lowest marked byte is always a true one: a borrow can only mark bytes above it.
  @inline(__always)
  static func firstControl(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int {
    var index = start
    while index &+ 8 <= end {
      let word = load8(base + index)
      let below = (word &- (0x20 &* ones)) & ~word
      let delete = word ^ (0x7F &* ones)
      let marks = (below | ((delete &- ones) & ~delete)) & highBits
      if marks != 0 { return index &+ (marks.trailingZeroBitCount &>> 3) }
      index &+= 8
    }
    while index < end {
      let byte = base[index]
      if byte < 0x20 || byte == 0x7F { return index }
      index &+= 1
    }
    return end
  }

  /// The index of the first `wanted`, or nil.
  @inline(__always)
  static func first(_ wanted: UInt8, in base: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int? {
    var index = start
    let pattern = UInt64(wanted) &* ones
    while index &+ 8 <= end {
      let word = load8(base + index) ^ pattern
      let marks = (word &- ones) & ~word & highBits
      if marks != 0 { return index &+ (marks.trailingZeroBitCount &>> 3) }
      index &+= 8
    }
    while index < end {
      if base[index] == wanted { return index }
      index &+= 1
    }
    return nil
  }

  /// Whether `count` bytes, taken in lower case, are `lower`, which must itself be of letters, digits, `-` and `:`.
  /// Exact for bytes of tokens; `_`, `^` and controls never equal a letter, digit or dash.
  @inline(__always)
  static func equal(_ bytes: UnsafePointer<UInt8>, _ count: Int, lower: StaticString) -> Bool {
    count == lower.utf8CodeUnitCount && equalFolded(bytes, lower.utf8Start, count)
  }

  /// Compares `count` bytes, both sides folded to lower case by setting bit 5.
  @inline(__always)
  static func equalFolded(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let fold = 0x20 &* ones
    if count >= 8 {
      var index = 0
      while index &+ 8 <= count {
        if load8(left + index) | fold != load8(right + index) | fold { return false }
        index &+= 8
      }
      return load8(left + (count &- 8)) | fold == load8(right + (count &- 8)) | fold
    }
    let fold4 = UInt32(truncatingIfNeeded: fold)
    if count >= 4 {
      return load4(left) | fold4 == load4(right) | fold4
        && load4(left + (count &- 4)) | fold4 == load4(right + (count &- 4)) | fold4
    }
    var index = 0
    while index < count {
      if left[index] | 0x20 != right[index] | 0x20 { return false }
      index &+= 1
    }
    return true
  }

  /// Compares `count` bytes, ASCII letters without regard to case, every other byte exactly.
  static func equalIgnoringCase(
    _ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int
  ) -> Bool {
    var index = 0
    while index < count {
      let one = left[index]
      let other = right[index]
      if one != other {
        guard one ^ other == 0x20, (one | 0x20) &- 0x61 < 26 else { return false }
      }
      index &+= 1
    }
    return true
  }
}
