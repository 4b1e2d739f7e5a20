// Unsafe by design: body bytes are walked in place.
package import MeshModel

/// What a body reader made of some bytes.
package struct HTTP1BodyStep: Equatable, Sendable {
  /// How many bytes from the start belong to this message. In pass-through they are valid as they stand and can be sent
  /// on as they are; what follows them belongs to the trailers or to the next message.
  package var consumed = 0
  /// The payload within the bytes consumed. In pass-through it is meaningless; in `next` it is the one run of payload.
  package var payload: ByteRange = .none
  /// Where the body stands after these bytes.
  package var progress: Progress = .more

  /// Where a body stands.
  package enum Progress: Equatable, Sendable {
    /// More bytes are to come. If not all bytes were consumed (only in `next`), call again with the rest.
    case more
    /// The message ends with the bytes consumed.
    case finished
    /// The last chunk has been consumed and a trailer section follows that is not empty: hand what follows to
    /// `HTTP1Parser.parseTrailers`.
    case trailers
    /// The body is refused. Nothing of `consumed` is wrong, but the message can never be completed: close.
    case failed(HTTP1Error)
  }
}

/// Follows a body through the bytes of its connection (RFC 9112, sections 6 and 7), whichever way it is framed.
///
/// A plain value of a few words; nothing is kept of the bytes. Chunked framing is checked byte by byte and to the
/// letter: a size is 1 to 16 hexadecimal digits up to 2^63 - 1, ended by CR LF, and the data is followed by CR LF.
/// Chunk extensions (section 7.1.1) are skipped unread, up to 255 bytes each. Where the framing is passed on they go with
/// it: they are visible ASCII, spaces and tabs up to a CR LF, which leaves no two ways to see where they end.
package struct HTTP1BodyReader: Sendable {
  private enum State: UInt8 {
    case counted, untilClose, size, chunkExtension, sizeLineFeed, data, dataReturn, dataLineFeed, lastLine, lastLineFeed
    case trailers, finished, failed
  }

  private var state: State
  private var problem: HTTP1Error = .badChunkSize
  /// Digits of the size read so far, then bytes of its extensions.
  private var digits: UInt8 = 0
  /// Bytes left of the body or of the chunk.
  private var left: UInt64 = 0
  /// Bytes of payload seen so far, framing not counted.
  package private(set) var payloadBytes: UInt64 = 0

  /// A reader for a body framed like this.
  package init(_ framing: BodyFraming) {
    switch framing {
    case .none: state = .finished
    case .length(let length):
      left = length
      state = length == 0 ? .finished : .counted
    case .chunked: state = .size
    case .untilClose, .tunnel: state = .untilClose
    }
  }

  /// Whether the message has ended.
  package var isFinished: Bool { state == .finished }

  /// Whether closing the connection now is the proper end of the body rather than a truncation.
  package var mayEndHere: Bool { state == .finished || state == .untilClose }

  /// The bytes that are still to come, where the message says so.
  package var remaining: UInt64? { state == .counted ? left : state == .finished ? 0 : nil }

  /// Says that the trailer section has been parsed.
  package mutating func finishTrailers() {
    if state == .trailers { state = .finished }
  }

  /// Takes as much as belongs to the body, framing included, to be passed on verbatim.
  package mutating func passThrough(_ bytes: UnsafePointer<UInt8>, count: Int) -> HTTP1BodyStep {
    var index = 0
    while index < count {
      let step = next(bytes + index, count: count &- index)
      index &+= step.consumed
      if step.progress != .more { return HTTP1BodyStep(consumed: index, progress: step.progress) }
      if step.consumed == 0 { break }
    }
    return HTTP1BodyStep(consumed: index, progress: progress)
  }

  /// Takes bytes up to the end of the first run of payload in them, which it points out (relative to `bytes`).
  package mutating func next(_ bytes: UnsafePointer<UInt8>, count: Int) -> HTTP1BodyStep {
    var index = 0
    while index < count {
      switch state {
      case .untilClose, .counted, .data:
        return payload(from: index, count: count)
      case .finished, .trailers, .failed:
        return HTTP1BodyStep(consumed: index, progress: progress)
      default:
        frame(bytes[index])
        if state == .trailers || state == .failed { return HTTP1BodyStep(consumed: index, progress: progress) }
        index &+= 1
      }
    }
    return HTTP1BodyStep(consumed: index, progress: progress)
  }

  private var progress: HTTP1BodyStep.Progress {
    switch state {
    case .finished: .finished
    case .trailers: .trailers
    case .failed: .failed(problem)
    default: .more
    }
  }

  private mutating func payload(from index: Int, count: Int) -> HTTP1BodyStep {
    let there = UInt64(count &- index)
    let run = state == .untilClose ? there : min(there, left)
    payloadBytes &+= run
    if state != .untilClose {
      left &-= run
      if left == 0 { state = state == .counted ? .finished : .dataReturn }
    }
    let end = index &+ Int(truncatingIfNeeded: run)
    return HTTP1BodyStep(consumed: end, payload: ByteRange(from: index, to: end), progress: progress)
  }

  /// One byte of chunked framing.
  private mutating func frame(_ byte: UInt8) {
    switch state {
    case .size: sizeByte(byte)
    case .chunkExtension: extensionByte(byte)
    case .sizeLineFeed:
      guard byte == 0x0A else { return fail(.badChunkSize) }
      state = left == 0 ? .lastLine : .data
    case .dataReturn: byte == 0x0D ? (state = .dataLineFeed) : fail(.badChunkEnd)
    case .dataLineFeed: byte == 0x0A ? (state = .size) : fail(.badChunkEnd)
    case .lastLine: state = byte == 0x0D ? .lastLineFeed : .trailers
    case .lastLineFeed: byte == 0x0A ? (state = .finished) : fail(.badChunkEnd)
    default: break
    }
  }

  private mutating func sizeByte(_ byte: UInt8) {
    let value = ByteTables.hexValue(byte)
    if value < 16 {
      digits &+= 1
      guard digits <= 16, left <= UInt64(Int64.max) &>> 4 else { return fail(.badChunkSize) }
      left = left &<< 4 | UInt64(value)
    } else if byte == 0x0D, digits > 0 {
      digits = 0
      state = .sizeLineFeed
    } else if byte == 0x3B, digits > 0 {
      digits = 0
      state = .chunkExtension
    } else {
      fail(.badChunkSize)
    }
  }

  private mutating func extensionByte(_ byte: UInt8) {
    if byte == 0x0D {
      digits = 0
      state = .sizeLineFeed
    } else if byte != 0x09, byte < 0x20 || byte > 0x7E {
      fail(.badChunkSize)
    } else if digits == .max {
      fail(.chunkExtension)
    } else {
      digits &+= 1
    }
  }

  private mutating func fail(_ error: HTTP1Error) {
    problem = error
    state = .failed
  }
}
