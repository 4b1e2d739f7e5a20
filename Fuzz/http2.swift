// Fuzz target for everything that reads HTTP/2 and gRPC from peers. The input comes to a server, to a client with open
// requests, to the Huffman decoder and to the message reader. What must hold: no stray access, no crash; pieces give the
// events that the whole gives; nothing is reported after a failure; no more streams are open than allowed; what is written
// is made of whole frames; what was decoded is coded and decoded to the same again.
import Glibc
import MeshHTTP
import MeshModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  var cuts = Cuts(source, count)
  let scratch = Scratch()
  defer { scratch.free() }
  for role in [HTTP2Connection.Role.server, .client] {
    let whole = events(role, source, count, scratch) { _ in count }
    let limit = max(2, count / 4)
    let pieces = events(role, source, count, scratch) { _ in 1 + cuts.next(below: limit) }
    require(whole == pieces, "pieces give the events of the whole")
    // What is looked through beforehand depends on the pieces, by intent.
    _ = events(role, source, count, scratch, looksAhead: true) { _ in 1 + cuts.next(below: limit) }
  }
  react(source, count, scratch, &cuts)
  huffman(source, count)
  messages(source, count, &cuts)
  return 0
}

private let limits: HTTP2Limits = {
  var limits = HTTP2Limits()
  limits.maxConcurrentStreams = 5
  limits.maxHeaderListBytes = 2000
  limits.maxFields = 20
  limits.streamWindowBytes = 3000
  return limits
}()

private struct Scratch {
  let value: HTTP2Scratch
  private let arena = UnsafeMutablePointer<UInt8>.allocate(capacity: limits.arenaBytes)
  private let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: 20)

  init() {
    value = HTTP2Scratch(arena: arena, arenaBytes: limits.arenaBytes, fields: fields, fieldCapacity: 20)
  }

  func free() {
    value.release()
    fields.deallocate()
  }
}

/// A digest of what happens, in which the cuts between runs of data do not show.
private struct Digest {
  var state: UInt64 = 0xCBF2_9CE4_8422_2325
  mutating func add(_ value: UInt64) { state = (state ^ value) &* 0x100_0000_01B3 }
  mutating func add(_ bytes: UnsafeBufferPointer<UInt8>) { for byte in bytes { add(UInt64(byte)) } }
}

/// A connection that has had its beginning.
private func begun(_ role: HTTP2Connection.Role, _ scratch: Scratch) -> HTTP2Connection {
  var connection = HTTP2Connection(role: role, limits: limits)
  var start: [UInt8] = role == .server ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []
  start += [0, 0, 0, 4, 0, 0, 0, 0, 0] + [0, 0, 0, 4, 1, 0, 0, 0, 0]
  var input = HTTP2Input(start, count: start.count)
  loop: while true {
    switch connection.next(&input, scratch.value) {
    case .needMore: break loop
    case .failed: require(false, "a proper beginning is taken")
    default: continue
    }
  }
  if role == .client {
    for _ in 0..<3 {
      guard let stream = connection.openRequest() else { continue }
      connection.requestHead(stream, method: "POST", scheme: "http", authority: "a", path: "/")
    }
  }
  return connection
}

private func events(
  _ role: HTTP2Connection.Role, _ source: UnsafePointer<UInt8>, _ count: Int, _ scratch: Scratch,
  looksAhead: Bool = false, cut: (Int) -> Int
) -> UInt64 {
  var connection = begun(role, scratch)
  var digest = Digest()
  var failed = false
  var start = 0
  while start < count {
    let end = min(count, start + max(1, cut(start)))
    let piece = GuardedInput(source + start, end - start)
    var input = HTTP2Input(piece.bytes, count: piece.count)
    if looksAhead, connection.lookAhead(input, scratch.value) != nil {
      require(connection.isFailed, "what has been found out has ended the connection")
      failed = true
    }
    loop: while true {
      let event = connection.next(&input, scratch.value)
      if case .needMore = event { break loop }
      require(!failed, "nothing is reported after a failure")
      if case .failed = event { failed = true }
      add(event, &digest)
      require(connection.openStreams <= 5, "no more streams than allowed")
    }
    piece.free()
    start = end
  }
  return digest.state
}

private func add(_ event: HTTP2Event, _ digest: inout Digest) {
  switch event {
  case .head(let stream, let head):
    digest.add(1 + UInt64(stream.id) << 8 + UInt64(head.kind.rawValue) << 40)
    digest.add(head.endStream ? 1 : 0)
    let parts = head.head
    for range in [parts.method, parts.path, parts.query, parts.authority, head.scheme, head.protocolName] {
      digest.add(parts.bytes(range))
    }
    digest.add(UInt64(parts.status))
    for index in 0..<parts.fieldCount {
      digest.add(parts.bytes(parts.fields[index].name))
      digest.add(parts.bytes(parts.fields[index].value))
      for byte in parts.bytes(parts.fields[index].value) { require(byte >= 0x20 || byte == 9, "no controls in values") }
    }
    if head.kind == .request, parts.methodToken != .connect {
      let first = parts.bytes(parts.path).first
      require(first == 0x2F || first == 0x2A, "the path is absolute")
    }
  case .data(_, let data):
    digest.add(data.bytes)
    if data.endStream { digest.add(2) }
  case .reset(let stream, let reset):
    digest.add(3 + UInt64(stream.id) << 8)
    digest.add(UInt64(reset.code.rawValue))
  case .writable(let stream): digest.add(4 + UInt64(stream.id) << 8)
  case .refused(let reason): digest.add(5 + UInt64(reason.rawValue) << 8)
  case .settings: digest.add(6)
  case .pong(let opaque): digest.add(opaque)
  case .goAway(let last, let code): digest.add(UInt64(last) << 32 + UInt64(code.rawValue))
  case .failed(let reason): digest.add(7 + UInt64(reason.rawValue) << 8)
  case .needMore: break
  }
}

/// A server that answers, consumes, resets and drains as the input's digest has it.
private func react(_ source: UnsafePointer<UInt8>, _ count: Int, _ scratch: Scratch, _ cuts: inout Cuts) {
  var connection = begun(.server, scratch)
  var written: [UInt8] = []
  var input = HTTP2Input(source, count: count)
  let body = [UInt8](repeating: 65, count: 5000)
  loop: while true {
    let event = connection.next(&input, scratch.value)
    switch event {
    case .needMore: break loop
    case .head(let stream, let head):
      if cuts.next(below: 4) == 0 { connection.reset(stream, .cancel) }
      guard connection.beginResponse(stream, status: 200) else { continue }
      connection.fields(of: head.head)
      connection.endHead(stream, endStream: cuts.next(below: 4) == 0)
      _ = connection.sendData(stream, body, cuts.next(below: 5000), endStream: cuts.next(below: 2) == 0)
    case .data(let stream, let data): connection.consumed(stream, data.bytes.count)
    case .writable(let stream): _ = connection.sendData(stream, body, 5000, endStream: true)
    default: break
    }
    if cuts.next(below: 3) == 0 {
      let some = cuts.next(below: connection.pendingOutput.count + 1)
      written += connection.pendingOutput.prefix(some)
      connection.didWrite(some)
    }
    if cuts.next(below: 50) == 0 { connection.drain() }
    if cuts.next(below: 20) == 0 { connection.calm() }
  }
  written += connection.pendingOutput
  var index = 0
  while index < written.count {
    require(written.count - index >= 9, "frame headers are whole")
    let length = Int(written[index]) << 16 | Int(written[index + 1]) << 8 | Int(written[index + 2])
    require(written[index + 3] <= 9, "frames are of known types")
    index += 9 + length
    require(index <= written.count, "frames are whole")
  }
}

private func huffman(_ source: UnsafePointer<UInt8>, _ count: Int) {
  let input = GuardedInput(source, count)
  defer { input.free() }
  let size = Huffman.encodedLength(input.bytes, count)
  let room = UnsafeMutablePointer<UInt8>.allocate(capacity: size + 2 * count + 1)
  defer { room.deallocate() }
  Huffman.encode(input.bytes, count, into: room)
  let back = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * count + 1)
  defer { back.deallocate() }
  require(Huffman.decode(room, size, into: back, capacity: count) == count, "what is encoded can be decoded")
  require(memcmp(back, source, count) == 0, "and is the same")
  guard let decoded = Huffman.decode(input.bytes, count, into: back, capacity: 2 * count) else { return }
  require(Huffman.encodedLength(back, decoded) == count, "what can be decoded is the only code for it")
}

private func messages(_ source: UnsafePointer<UInt8>, _ count: Int, _ cuts: inout Cuts) {
  var reader = GRPCMessageReader(limitBytes: 500)
  var scanner = GRPCMessageScanner(limitBytes: 500)
  var start = 0
  var read: UInt64 = 0
  while start < count {
    let end = min(count, start + 1 + cuts.next(below: max(2, count / 3)))
    let piece = GuardedInput(source + start, end - start)
    defer { piece.free() }
    reader.append(piece.bytes, piece.count)
    let verdict = scanner.scan(piece.bytes, piece.count)
    do {
      while let message = try reader.next() {
        require(message.bytes.count <= 500, "messages within the limit")
        read += 1
      }
      require(verdict == nil, "the scanner agrees that all is well")
      require(scanner.messages == read, "and on the number of messages")
    } catch {
      require(verdict != nil, "the scanner agrees that it is broken")
      return
    }
    if verdict != nil { return }
    start = end
  }
}
