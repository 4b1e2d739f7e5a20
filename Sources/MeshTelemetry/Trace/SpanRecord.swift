package import MeshModel

/// What a span's texts are. The raw values of tags begin at `firstTag`.
package enum SpanText: UInt8, Sendable {
  /// Without its query, in which secrets travel.
  case path = 1
  case authority, requestID, userAgent
  /// The object of configuration that decided, where the mesh gave a reason.
  case object
  /// `namespace/name` of the service.
  case service
  case method
  /// The caller's SPIFFE ID (spans of the server's side).
  case principal

  /// The first of the configured tags.
  package static let firstTag: UInt8 = 32
  /// Most configured tags.
  package static let maxTags = 16
}

/// A span as the worker leaves it: a plain record of a fixed size, with its texts behind it. The side thread turns it into
/// OTLP.
package struct SpanRecord: Sendable, BitwiseCopyable {
  package var mark = TraceMark()
  /// Nanoseconds since 1970.
  package var startNanoseconds: UInt64 = 0
  package var durationNanoseconds: UInt64 = 0
  package var requestBytes: UInt64 = 0
  package var responseBytes: UInt64 = 0
  /// Numbers of the `LabelDictionary`.
  package var edge: UInt32 = 0
  package var route: UInt32 = 0
  /// Which configuration of tags its texts belong to.
  package var plan: UInt32 = 0
  package var status: UInt16 = 0
  /// Status of a gRPC call; 255: it was none.
  package var grpcStatus: UInt8 = 255
  /// 0 where there was none.
  package var reason: UInt8 = 0
  package var retries: UInt8 = 0
  package var method = Method.other
  /// 10, 11 or 20.
  package var version: UInt8 = 11
  package var flags: Decision.Flags = []
  /// The client's address and, where one was tried, the endpoint's.
  package var clientFamily: Int32 = 0
  package var clientAddress: (UInt64, UInt64) = (0, 0)
  package var clientPort: UInt16 = 0
  package var endpointFamily: Int32 = 0
  package var endpointAddress: (UInt64, UInt64) = (0, 0)
  package var endpointPort: UInt16 = 0
  /// Attempts that were begun, and those of them that did not become the answer.
  package var attempts: UInt8 = 0
  package var trail = AttemptTrail()
  /// From the request's beginning to the last attempt's.
  package var lastAttemptNanoseconds: UInt64 = 0

  package init() {}
}

/// The texts behind a record: one byte what it is, two bytes of length, the text.
package enum SpanTexts {
  /// Most of one text.
  package static let maxBytes = 256

  /// Appends a text, cut where it is too long; an empty one is left out, and so is one that does not fit.
  package static func put(_ kind: UInt8, _ text: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter) {
    let count = min(text.count, maxBytes)
    guard count > 0, let start = text.baseAddress, writer.remaining >= count &+ 3 else { return }
    writer.append(kind)
    writer.append(UInt8(truncatingIfNeeded: count >> 8))
    writer.append(UInt8(truncatingIfNeeded: count))
    writer.append(start, count: count)
  }

  package static func put(_ kind: SpanText, _ text: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter) {
    put(kind.rawValue, text, into: &writer)
  }

  /// Calls `body` with each text in turn.
  package static func forEach(
    _ bytes: UnsafeBufferPointer<UInt8>, _ body: (UInt8, UnsafeBufferPointer<UInt8>) -> Void
  ) {
    var position = 0
    while position &+ 3 <= bytes.count {
      let count = Int(bytes[position &+ 1]) << 8 | Int(bytes[position &+ 2])
      let end = position &+ 3 &+ count
      guard end <= bytes.count else { return }
      body(bytes[position], UnsafeBufferPointer(rebasing: bytes[(position &+ 3)..<end]))
      position = end
    }
  }
}

/// A span as the side thread takes it out of the ring.
package struct SpanEntry: Sendable {
  package var record: SpanRecord
  package var texts: [UInt8]

  package init(record: SpanRecord, texts: [UInt8]) {
    self.record = record
    self.texts = texts
  }
}
