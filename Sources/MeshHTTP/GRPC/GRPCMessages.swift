// Unsafe by design: messages are cut out of received bytes.

/// Why a stream of gRPC messages cannot be read on.
package enum GRPCFramingError: UInt8, Error, Sendable, CaseIterable {
  /// A message over the limit: `RESOURCE_EXHAUSTED`.
  case messageTooLarge
  /// A compressed-flag other than 0 and 1: `INTERNAL`.
  case badFlag

  /// The status to end the call with.
  package var status: GRPCStatus {
    switch self {
    case .messageTooLarge: .resourceExhausted
    case .badFlag: .internal
    }
  }
}

/// Follows length-prefixed messages through a body without keeping any of it: for counting messages as they pass.
package struct GRPCMessageScanner: Sendable {
  /// The largest message in bytes.
  private let limitBytes: UInt32
  private var prefixBytes: UInt8 = 0
  private var left: UInt32 = 0
  /// Messages that have passed whole.
  package private(set) var messages: UInt64 = 0

  /// A scanner at the start of a body. The limit is 4 MiB unless set, as gRPC's own.
  package init(limitBytes: UInt32 = 4 * 1024 * 1024) { self.limitBytes = limitBytes }

  /// Whether the body may end here: between messages.
  package var mayEndHere: Bool { prefixBytes == 0 && left == 0 }

  /// Takes the next bytes of the body. Nil if all is well.
  package mutating func scan(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> GRPCFramingError? {
    var index = 0
    while index < count {
      if prefixBytes < 5 {
        if prefixBytes == 0, bytes[index] > 1 { return .badFlag }
        if prefixBytes > 0 { left = left &<< 8 | UInt32(bytes[index]) }
        prefixBytes &+= 1
        index &+= 1
        if prefixBytes == 5, left > limitBytes { return .messageTooLarge }
      } else {
        let step = min(Int(left), count &- index)
        index &+= step
        left &-= UInt32(truncatingIfNeeded: step)
      }
      if prefixBytes == 5, left == 0 {
        prefixBytes = 0
        messages &+= 1
      }
    }
    return nil
  }
}

/// Gathers length-prefixed messages from the pieces they come in. The memory grows to the largest message and no further.
package struct GRPCMessageReader: ~Copyable {
  /// A message as it was sent.
  package struct Message {
    /// Its bytes, valid until the reader is used again.
    package let bytes: UnsafeBufferPointer<UInt8>
    /// Whether they are compressed with the call's `grpc-encoding`.
    package let compressed: Bool
  }

  private let limitBytes: Int
  private var held = HTTP2Buffer()
  /// Bytes at the front of `held` that the last answer pointed to.
  private var answered = 0

  /// A reader at the start of a body. The limit is 4 MiB unless set.
  package init(limitBytes: Int = 4 * 1024 * 1024) { self.limitBytes = limitBytes }

  /// Takes the next bytes of the body; then ask `next` until it answers nil.
  package mutating func append(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    settle()
    held.append(bytes, count)
  }

  /// The next whole message, or nil if more bytes are needed.
  package mutating func next() throws(GRPCFramingError) -> Message? {
    settle()
    let bytes = held.bytes
    guard let start = bytes.baseAddress, bytes.count >= 1 else { return nil }
    guard start[0] <= 1 else { throw .badFlag }
    guard bytes.count >= 5 else { return nil }
    let length = Int(BigEndian.load32(start + 1))
    guard length <= limitBytes else { throw .messageTooLarge }
    guard bytes.count >= 5 + length else { return nil }
    answered = 5 + length
    return Message(bytes: UnsafeBufferPointer(start: start + 5, count: length), compressed: start[0] == 1)
  }

  /// Whether the body may end here: between messages.
  package var isEmpty: Bool { held.count == answered }

  private mutating func settle() {
    held.consume(answered)
    answered = 0
  }

  /// Writes the 5 bytes that come before an uncompressed message of `count` bytes.
  package static func writePrefix(_ out: UnsafeMutablePointer<UInt8>, count: UInt32) {
    out[0] = 0
    BigEndian.store32(out + 1, count)
  }
}
