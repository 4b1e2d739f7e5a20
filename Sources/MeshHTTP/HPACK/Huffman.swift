// Unsafe by design: strings are decoded and encoded from memory to memory.

/// The string code of HPACK (RFC 7541, section 5.2).
package enum Huffman {
  /// Decodes `count` bytes into `out`.
  ///
  /// - Returns: the number of bytes written, or nil if the code is broken (an end-of-string symbol, padding that is
  ///   longer than 7 bits or not of ones) or the result has more than `capacity` bytes.
  package static func decode(
    _ source: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>, capacity: Int
  ) -> Int? {
    // The next bits, at the top of the word.
    var window: UInt64 = 0
    var bits = 0
    var index = 0
    var written = 0
    while true {
      while bits <= 56, index < count {
        window |= UInt64(source[index]) &<< UInt64(truncatingIfNeeded: 56 &- bits)
        bits &+= 8
        index &+= 1
      }
      // Missing bits read as ones, as padding would.
      let peek = bits >= 32 ? window : window | (UInt64.max &>> UInt64(truncatingIfNeeded: bits))
      let prefix = Int(truncatingIfNeeded: peek &>> 56)
      var length = Int(HuffmanTables.shortLengths[prefix]) &- 0x30
      var symbol = UInt16(HuffmanTables.shortSymbols[prefix])
      if length == 0 {
        guard let long = longCode(UInt32(truncatingIfNeeded: peek &>> 32)) else { return nil }
        length = long.length
        symbol = long.symbol
      }
      if length > bits {
        // Only padding can be left.
        guard bits < 8, window == ~(UInt64.max &>> UInt64(truncatingIfNeeded: bits)) else { return nil }
        return written
      }
      guard symbol < 256, written < capacity else { return nil }
      out[written] = UInt8(truncatingIfNeeded: symbol)
      written &+= 1
      window = window &<< UInt64(truncatingIfNeeded: length)
      bits &-= length
    }
  }

  /// The symbol whose code of 10 to 30 bits these 32 bits begin with.
  private static func longCode(_ word: UInt32) -> (symbol: UInt16, length: Int)? {
    var length = 10
    while length <= 30 {
      let code = word &>> UInt32(truncatingIfNeeded: 32 &- length)
      let place = code &- HuffmanTables.firstCode[length]
      if place < HuffmanTables.codeCount[length] {
        return (HuffmanTables.longSymbols[Int(HuffmanTables.symbolStart[length] &+ place)], length)
      }
      length &+= 1
    }
    return nil
  }

  /// The number of bytes that `count` bytes take when encoded.
  package static func encodedLength(_ source: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var bits = 0
    var index = 0
    while index < count {
      bits &+= Int(HuffmanTables.lengths[Int(source[index])]) &- 64
      index &+= 1
    }
    return (bits &+ 7) &>> 3
  }

  /// Encodes `count` bytes into `out`, which must have room for `encodedLength` bytes.
  package static func encode(
    _ source: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>
  ) {
    var window: UInt64 = 0
    var bits = 0
    var written = 0
    var index = 0
    while index < count {
      let symbol = Int(source[index])
      let length = Int(HuffmanTables.lengths[symbol]) &- 64
      window = window &<< UInt64(truncatingIfNeeded: length) | UInt64(HuffmanTables.codes[symbol])
      bits &+= length
      while bits >= 8 {
        bits &-= 8
        out[written] = UInt8(truncatingIfNeeded: window &>> UInt64(truncatingIfNeeded: bits))
        written &+= 1
      }
      index &+= 1
    }
    if bits > 0 {
      let padding = UInt8.max &>> UInt8(truncatingIfNeeded: bits)
      out[written] = UInt8(truncatingIfNeeded: window &<< UInt64(truncatingIfNeeded: 8 &- bits)) | padding
    }
  }
}
