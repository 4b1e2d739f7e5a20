// Unsafe by design: heads and data are written straight into the output.
package import MeshModel

extension HTTP2Connection {
  // MARK: - Heads

  /// Opens a stream for a request (clients). Nil if the connection takes no more: see `canOpenStream`. The head must
  /// follow at once, before another stream is opened.
  package mutating func openRequest() -> HTTP2Stream? {
    guard canOpenStream else { return nil }
    let stream = streams.insert(nextLocalID)
    nextLocalID &+= 2
    counters.streamsOpened &+= 1
    counters.control = 0
    guard let slot = streams.slot(stream) else { return nil }
    slot.pointee.sendWindow = peer.initialWindow
    slot.pointee.receiveWindow = streamWindow
    return stream
  }

  /// Begins a head or a trailer section. Then come the pseudo-header fields, the other fields, and `endHead`; nothing
  /// else may be done on the connection in between.
  ///
  /// - Returns: false if the stream is over; then nothing must be written.
  package mutating func beginHead(_ stream: HTTP2Stream) -> Bool {
    guard canSend(stream), headStart < 0 else { return false }
    headStart = output.count
    _ = output.reserve(FrameHeader.size + 256)
    output.commit(FrameHeader.size)
    encoder.begin(&output)
    return true
  }

  /// Ends a head. `endStream`: no body follows, or these were the trailers.
  package mutating func endHead(_ stream: HTTP2Stream, endStream: Bool) {
    guard headStart >= 0, let slot = streams.slot(stream) else { return }
    let start = headStart
    headStart = -1
    let length = output.count - start - FrameHeader.size
    let flags = endStream ? FrameFlag.endStream : 0
    if length <= peer.maxFrameBytes, let frame = output.pointer(at: start) {
      FrameHeader.write(
        frame, length: length, type: FrameType.headers, flags: flags | FrameFlag.endHeaders, stream: stream.id)
    } else {
      cutHead(start, length, flags, stream.id)
    }
    slot.pointee.flags.insert(.headSent)
    if endStream { localEnd(stream, slot) }
  }

  /// Cuts a header block that does not fit one frame: room for the further frame headers is made from the back.
  private mutating func cutHead(_ start: Int, _ length: Int, _ flags: UInt8, _ id: UInt32) {
    let most = peer.maxFrameBytes
    let extra = (length - 1) / most
    _ = output.reserve(extra * FrameHeader.size)
    output.commit(extra * FrameHeader.size)
    guard let first = output.pointer(at: start) else { return }
    var index = extra
    while index >= 0 {
      let size = index == extra ? length - extra * most : most
      let from = first + FrameHeader.size + index * most
      let to = first + index * (most + FrameHeader.size) + FrameHeader.size
      if from != to { to.update(from: from, count: size) }
      FrameHeader.write(
        to - FrameHeader.size, length: size, type: index == 0 ? FrameType.headers : FrameType.continuation,
        flags: (index == 0 ? flags : 0) | (index == extra ? FrameFlag.endHeaders : 0), stream: id)
      index -= 1
    }
  }

  // MARK: - Fields

  /// A field with an interned name; pseudo-header fields come first.
  package mutating func field(_ name: KnownHeader, _ value: UnsafePointer<UInt8>, _ count: Int) {
    guard headStart >= 0 else { return }
    let text = name.name
    encoder.field(text.utf8Start, text.utf8CodeUnitCount, value, count, known: name, &output)
  }

  /// A field with a constant value.
  package mutating func field(_ name: KnownHeader, _ value: StaticString) {
    field(name, value.utf8Start, value.utf8CodeUnitCount)
  }

  /// A field with a value that is a string: for what is rare, such as the control plane's streams.
  package mutating func field(_ name: KnownHeader, text value: String) {
    var value = value
    value.withUTF8 { bytes in
      if let start = bytes.baseAddress { field(name, start, bytes.count) } else { field(name, "") }
    }
  }

  /// A field with a number.
  package mutating func field(_ name: KnownHeader, number: UInt64) {
    var digits: InlineArray<20, UInt8> = InlineArray(repeating: 0)
    var index = 20
    var rest = number
    repeat {
      index &-= 1
      digits[index] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    } while rest > 0
    let text = digits
    withUnsafeBytes(of: text) { bytes in
      guard let start = bytes.baseAddress else { return }
      field(name, (start + index).assumingMemoryBound(to: UInt8.self), 20 &- index)
    }
  }

  /// A field with any name, which is put into lower case. Name and value must have come from a parsed head or from
  /// checked configuration.
  package mutating func field(
    name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ count: Int
  ) {
    // Secrets are known by their interned names.
    unnamed(name, nameCount, value, count, known: KnownHeader.lookup(name, nameCount))
  }

  private mutating func unnamed(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ count: Int, known: KnownHeader
  ) {
    guard headStart >= 0 else { return }
    names.truncate(to: 0)
    let lower = names.reserve(nameCount)
    for index in 0..<nameCount {
      let byte = name[index]
      lower[index] = ByteTables.isUpper(byte) ? byte | 0x20 : byte
    }
    encoder.field(lower, nameCount, value, count, known: known, &output)
  }

  /// The fields of a head, from either version of HTTP, but for those in `dropped`, `host` (send `:authority`), and
  /// what belongs to one hop of HTTP/1 (RFC 9113, section 8.2.2).
  package mutating func fields(of head: MessageHead, except dropped: FieldSet = FieldSet()) {
    for index in 0..<head.fieldCount where !dropped.contains(index) {
      let field = head.fields[index]
      let value = head.start(field.value)
      switch field.known {
      case .host, .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: continue
      case .te:
        if ByteScan.equal(value, field.value.size, lower: "trailers") { self.field(.te, "trailers") }
      case .other:
        unnamed(head.start(field.name), field.name.size, value, field.value.size, known: .other)
      default:
        self.field(field.known, value, field.value.size)
      }
    }
  }

  /// The pseudo-header fields of a request like this one: its method, canonical path with query, and authority.
  package mutating func requestFields(of head: MessageHead, scheme: StaticString) {
    field(.pseudoMethod, head.start(head.method), head.method.size)
    field(.pseudoScheme, scheme)
    field(.pseudoAuthority, head.start(head.authority), head.authority.size)
    if head.query.size == 0 { return field(.pseudoPath, head.start(head.path), head.path.size) }
    names.truncate(to: 0)
    names.append(head.start(head.path), head.path.size)
    names.append(0x3F)
    names.append(head.start(head.query), head.query.size)
    let whole = names.bytes
    guard let start = whole.baseAddress else { return }
    field(.pseudoPath, start, whole.count)
  }

  /// A whole request head, for what is rare. `fields` may call nothing but the `field` functions.
  package mutating func requestHead(
    _ stream: HTTP2Stream, method: String, scheme: String, authority: String, path: String, endStream: Bool = false,
    fields: (inout HTTP2Connection) -> Void = { _ in }
  ) {
    guard beginHead(stream) else { return }
    field(.pseudoMethod, text: method)
    field(.pseudoScheme, text: scheme)
    field(.pseudoAuthority, text: authority)
    field(.pseudoPath, text: path)
    fields(&self)
    if method == "HEAD" { noteHeadRequest(stream) }
    if method == "CONNECT" { noteConnect(stream) }
    endHead(stream, endStream: endStream)
  }

  /// Says that a request is a HEAD request: its response has no body, whatever length it announces.
  package mutating func noteHeadRequest(_ stream: HTTP2Stream) {
    streams.slot(stream)?.pointee.flags.insert(.bodiless)
  }

  /// Says that a request is a CONNECT: a length in its response means nothing.
  package mutating func noteConnect(_ stream: HTTP2Stream) {
    streams.slot(stream)?.pointee.flags.insert(.connect)
  }

  /// Begins a response head: `beginHead` and `:status`. 1xx heads may come before the final one.
  package mutating func beginResponse(_ stream: HTTP2Stream, status: UInt16) -> Bool {
    guard beginHead(stream) else { return false }
    field(.pseudoStatus, number: UInt64(status))
    return true
  }

  // MARK: - Data

  /// Sends as much of the body as windows and output take, in as few frames as can be.
  ///
  /// What is not taken stays with the caller: the stream is then reported as `.writable` when more can go. `endStream`
  /// holds only if everything was taken.
  /// - Returns: the number of bytes taken, or nil if the stream is over.
  package mutating func sendData(
    _ stream: HTTP2Stream, _ bytes: UnsafePointer<UInt8>, _ count: Int, endStream: Bool
  ) -> Int? {
    guard canSend(stream), headStart < 0, let slot = streams.slot(stream) else { return nil }
    if count == 0 {
      if endStream {
        dataFrame(stream.id, bytes, 0, FrameFlag.endStream)
        localEnd(stream, slot)
      }
      return 0
    }
    let capacity = sendCapacity(stream)
    let taken = min(count, capacity)
    var sent = 0
    while sent < taken {
      let size = min(taken &- sent, peer.maxFrameBytes)
      let last = endStream && sent &+ size == count
      dataFrame(stream.id, bytes + sent, size, last ? FrameFlag.endStream : 0)
      sent &+= size
    }
    sendWindow &-= Int64(taken)
    slot.pointee.sendWindow &-= Int64(taken)
    if taken < count {
      slot.pointee.flags.insert(.blocked)
      if output.count >= limits.maxOutputBytes { outputBlocked = true }
    } else if endStream {
      localEnd(stream, slot)
    }
    return taken
  }

  private mutating func dataFrame(_ id: UInt32, _ bytes: UnsafePointer<UInt8>, _ size: Int, _ flags: UInt8) {
    counters.dataFramesSent &+= 1
    // A peer that is being sent a body may ask for round trips meanwhile.
    if size > 0 { counters.control = 0 }
    let out = output.reserve(FrameHeader.size &+ size)
    FrameHeader.write(out, length: size, type: FrameType.data, flags: flags, stream: id)
    if size > 0 { (out + FrameHeader.size).update(from: bytes, count: size) }
    output.commit(FrameHeader.size &+ size)
  }

  /// Sends a PING; its answer is reported as `.pong` with the same number.
  package mutating func ping(_ opaque: UInt64) {
    guard phase == .frames else { return }
    writePing(opaque, ack: false)
  }
}
