// Unsafe by design: frame headers are written where the caller says.

/// Large bodies: the owner sends DATA frames from where their payload lies, without a copy through the output.
extension HTTP2Connection {
  /// Bytes of a frame's header.
  package static var frameHeaderBytes: Int { FrameHeader.size }

  /// Payload of a DATA frame that fills a TLS record exactly, header included.
  package static var recordPayloadBytes: Int { HTTP2Limits.maxFrameBytes - FrameHeader.size }

  /// Bytes of body that the windows let this stream send now, whatever waits in the output; 0 once it is over.
  package mutating func window(_ stream: HTTP2Stream) -> Int {
    guard canSend(stream), headStart < 0, let slot = streams.slot(stream) else { return 0 }
    return Int(max(0, min(sendWindow, slot.pointee.sendWindow)))
  }

  /// Writes the header of a DATA frame, `frameHeaderBytes` long, whose `count` bytes of payload the owner sends itself,
  /// behind everything that is in `pendingOutput`; they are counted as sent.
  ///
  /// - Parameter count: 1 to 16,384, and no more than `window` says.
  package mutating func dataHeader(
    _ stream: HTTP2Stream, _ count: Int, endStream: Bool, into header: UnsafeMutablePointer<UInt8>
  ) {
    FrameHeader.write(
      header, length: count, type: FrameType.data, flags: endStream ? FrameFlag.endStream : 0, stream: stream.id)
    counters.dataFramesSent &+= 1
    counters.control = 0
    sendWindow &-= Int64(count)
    guard let slot = streams.slot(stream) else { return }
    slot.pointee.sendWindow &-= Int64(count)
    if endStream { localEnd(stream, slot) }
  }

  /// Says that there is more of a body than the window lets through: the stream is reported as `.writable` when that
  /// has changed.
  package mutating func awaitWindow(_ stream: HTTP2Stream) {
    streams.slot(stream)?.pointee.flags.insert(.blocked)
  }

  /// Whether streams wait to be reported as writable.
  package var hasWritable: Bool { mutating get { phase != .failed && readyFirst != HTTP2StreamTable.none } }
}
