// Unsafe by design: large bodies are sent from where they were received.
internal import CMeshSystem
internal import Glibc
internal import MeshHTTP
internal import MeshReactor
internal import MeshTLS

/// Pieces of memory that leave in one call: frame headers between parts of a body, parts of a body that came as frames.
struct OutputPieces {
  /// Place 0 is for what the connection has gathered before.
  let pieces: UnsafeMutablePointer<iovec>
  /// Small things that lie nowhere else: headers of frames and of chunks.
  let small: UnsafeMutablePointer<UInt8>
  private(set) var count = 1
  private(set) var bytes = 0
  private var smallUsed = 0

  static let capacity = 96
  /// Bytes of one small thing.
  static let smallBytes = 24

  init() {
    pieces = .allocate(capacity: Self.capacity)
    pieces.initialize(repeating: iovec(), count: Self.capacity)
    small = .allocate(capacity: Self.capacity * Self.smallBytes)
  }

  func deallocate() {
    pieces.deallocate()
    small.deallocate()
  }

  var isEmpty: Bool { count == 1 }
  /// Whether a few pieces more may not fit.
  var isFull: Bool { !hasRoom(pieces: 3) }

  func hasRoom(pieces more: Int) -> Bool { count &+ more <= Self.capacity }

  mutating func add(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
    guard count < Self.capacity, length > 0 else { return }
    pieces[count] = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes), iov_len: length)
    count &+= 1
    self.bytes &+= length
  }

  /// Room for something small, which `add` takes.
  mutating func reserveSmall() -> UnsafeMutablePointer<UInt8> {
    let place = small + smallUsed
    smallUsed = min(smallUsed &+ Self.smallBytes, (Self.capacity - 1) * Self.smallBytes)
    return place
  }

  mutating func clear() {
    count = 1
    bytes = 0
    smallUsed = 0
  }
}

extension Worker {
  /// Least part of a body that is worth sending from where it lies.
  static let bulkMinimum = 4 * 1024
  /// Most of a body that goes out in one call.
  static let bulkLimit = 512 * 1024
  /// Ciphertext that is kept room for: a whole read, sealed.
  static let sealedCapacity = 512 * 1024

  // MARK: Bodies into streams

  /// Body bytes for a stream; returns how many were taken: as many as windows and the socket's backlog let through. Large
  /// ones go out at once, in frames that are sealed, or sent, from where the bytes lie.
  ///
  /// - Parameter bytes: in writable memory, with a frame header's room before them that is put back as it was.
  func sendBody(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ bytes: UnsafePointer<UInt8>,
    _ count: Int, endStream: Bool
  ) -> Int {
    let window = count < Self.bulkMinimum ? 0 : min(count, session.pointee.codec.window(stream), Self.bulkLimit)
    guard window >= Self.bulkMinimum, connection.pointee.flags.isDisjoint(with: [.dead, .writeClosed]),
      connection.pointee.tls == nil ? connection.pointee.output.isEmpty : !isCongested(connection)
    else {
      return session.pointee.codec.sendData(stream, bytes, count, endStream: endStream) ?? count
    }
    let ends = endStream && window == count
    if let tls = connection.pointee.tls {
      sealFrames(connection, session, tls, stream, bytes, window, ends)
    } else {
      sendFrames(connection, session, stream, bytes, window, ends)
    }
    if window == count { return count }
    if window < Self.bulkLimit {
      session.pointee.codec.awaitWindow(stream)
      return window
    }
    return window
      &+ (session.pointee.codec.sendData(stream, bytes + window, count &- window, endStream: endStream)
        ?? count &- window)
  }

  /// What the codec has gathered, then the body in frames that fill a record each, in one call.
  private func sealFrames(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ tls: TLSSession, _ stream: HTTP2Stream,
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ ends: Bool
  ) {
    sealed.pointee.reset(keeping: Self.sealedCapacity)
    let gathered = session.pointee.codec.pendingOutput
    var failure: TLSFailure?
    if let start = gathered.baseAddress, gathered.count > 0 {
      failure = tls.seal(start, gathered.count, output: sealed)
      session.pointee.codec.didWrite(gathered.count)
    }
    let room = HTTP2Connection.frameHeaderBytes
    var sent = 0
    while sent < count, failure == nil {
      let size = min(count &- sent, HTTP2Connection.recordPayloadBytes)
      let header = UnsafeMutablePointer(mutating: bytes + sent) - room
      let covered = UnsafeRawPointer(header).loadUnaligned(as: UInt64.self)
      let last = header[8]
      session.pointee.codec.dataHeader(stream, size, endStream: ends && sent &+ size == count, into: header)
      failure = tls.seal(header, size &+ room, output: sealed)
      UnsafeMutableRawPointer(header).storeBytes(of: covered, as: UInt64.self)
      header[8] = last
      sent &+= size
    }
    guard failure == nil else {
      // No memory, or no more keys: the peer learns it by the end of the connection, and so do we.
      connection.pointee.flags.insert([.writeClosed, .failed, .unread])
      return cms_shutdown_write(connection.pointee.fd)
    }
    transmitSealed(connection)
    markDirty(connection)
  }

  /// The same without TLS.
  private func sendFrames(
    _ connection: ConnectionRef, _ session: HTTP2SessionRef, _ stream: HTTP2Stream, _ bytes: UnsafePointer<UInt8>,
    _ count: Int, _ ends: Bool
  ) {
    let gathered = session.pointee.codec.pendingOutput
    // What the codec has gathered may move: it goes out now. Parts of a body wait for those that follow them.
    let waits = isLending && gathered.isEmpty
    if !waits || lender != connection || !lent.hasRoom(pieces: 2 &* (count / HTTP2Connection.recordPayloadBytes &+ 1)) {
      sendLent()
    }
    if let start = gathered.baseAddress { lent.add(start, gathered.count) }
    var sent = 0
    while sent < count {
      let size = min(count &- sent, HTTP2Connection.recordPayloadBytes)
      let header = lent.reserveSmall()
      session.pointee.codec.dataHeader(stream, size, endStream: ends && sent &+ size == count, into: header)
      lent.add(header, HTTP2Connection.frameHeaderBytes)
      lent.add(bytes + sent, size)
      sent &+= size
    }
    lender = connection
    markDirty(connection)
    if waits { return }
    sendLent()
    session.pointee.codec.didWrite(gathered.count)
  }

  /// Gives back what large bodies have left, once a second.
  func calmMemory() {
    spares.calm()
    sealed.pointee.reset(keeping: Self.outputHighWater)
  }

  // MARK: Bodies out of streams

  /// Whether these bytes, which lie in the loop's buffer until the event's input is used up, are sent from there with
  /// those that follow them.
  private func lends(to connection: ConnectionRef, _ count: Int) -> Bool {
    isLending && count >= Self.bulkMinimum && connection.pointee.tls == nil
      && connection.pointee.flags.isDisjoint(with: [.dead, .writeClosed])
      && connection.pointee.output.count < Self.bulkMinimum
  }

  /// Sends body bytes, or lends them: together with the frames behind them they leave in one call. False: they are to be
  /// written in the ordinary way.
  @inline(__always)
  func lend(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard lends(to: connection, count) else { return false }
    makeLender(connection)
    lent.add(bytes, count)
    return true
  }

  /// The same as one chunk of HTTP/1.1.
  func lendChunk(_ connection: ConnectionRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard lends(to: connection, count) else { return false }
    makeLender(connection)
    let header = lent.reserveSmall()
    var writer = HTTP1Writer(header, capacity: OutputPieces.smallBytes)
    writer.chunkHeader(UInt64(count))
    lent.add(header, writer.count)
    lent.add(bytes, count)
    let end: StaticString = "\r\n"
    lent.add(end.utf8Start, 2)
    return true
  }

  private func makeLender(_ connection: ConnectionRef) {
    if lender != connection || lent.isFull { sendLent() }
    lender = connection
  }

  /// The event is over, or what follows reaches further than its bytes: they are sent.
  func endLending() {
    isLending = false
    sendLent()
  }

  /// Sends what has been lent, behind what its connection has gathered before. What the kernel does not take is kept.
  @inline(__always)
  func sendLent() {
    if let lender { sendPieces(lender) }
  }

  private func sendPieces(_ connection: ConnectionRef) {
    lender = nil
    defer { lent.clear() }
    guard connection.pointee.flags.isDisjoint(with: [.dead, .writeClosed]) else { return }
    let gathered = connection.pointee.output.count
    lent.pieces[0] = iovec(iov_base: connection.pointee.output.bytes, iov_len: gathered)
    var sent = cms_send_pieces(connection.pointee.fd, lent.pieces, Int32(lent.count))
    if sent < 0 {
      guard errno == EAGAIN || errno == ENOTCONN || errno == EINTR else {
        connection.pointee.output.clear()
        return writeFailed(connection)
      }
      sent = 0
    }
    connection.pointee.bytesSent &+= UInt64(sent)
    connection.pointee.output.consume(min(sent, gathered))
    keepUnsent(connection, from: max(0, sent &- gathered))
    if gathered > 0, connection.pointee.output.isEmpty { markDirty(connection) }
  }

  private func keepUnsent(_ connection: ConnectionRef, from sent: Int) {
    var rest = lent.bytes &- sent
    guard rest > 0 else { return }
    var skip = sent
    for index in 1..<lent.count {
      let piece = lent.pieces[index]
      let length = Int(piece.iov_len)
      guard let base = piece.iov_base else { continue }
      if skip >= length {
        skip &-= length
        continue
      }
      keep(&connection.pointee.output, base.assumingMemoryBound(to: UInt8.self) + skip, length &- skip, expecting: rest)
      rest &-= length &- skip
      skip = 0
    }
  }

  /// How much may be read for whoever gets a connection's bytes: where that is a stream, what its window lets through,
  /// and a little.
  func readRoom(_ connection: ConnectionRef) -> Int {
    guard let exchange = connection.pointee.exchange else { return .max }
    let isClient = exchange.pointee.downstream == connection
    let stream = isClient ? exchange.pointee.upstreamStream : exchange.pointee.downstreamStream
    guard stream.id != 0 else { return .max }
    let other = isClient ? exchange.pointee.upstream : exchange.pointee.downstream
    guard let session = other?.pointee.http2 else { return .max }
    return max(16 * 1024, session.pointee.codec.window(stream))
  }
}
