// Fuzz target for header compression alone. The input is cut into header blocks for one decoder, as a connection has it,
// and it is taken for fields, which are coded by one connection and decoded by another. What must hold: no stray access, no
// crash; two decoders come to the same; the table keeps to its size; nothing is kept of what is too large; fields arrive as
// they were sent, those that come again included.
import Glibc
import MeshHTTP
import MeshModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  var cuts = Cuts(source, count)
  blocks(source, count, &cuts)
  fields(source, count)
  return 0
}

private let limits: HTTP2Limits = {
  var limits = HTTP2Limits()
  limits.maxHeaderListBytes = 3000
  limits.maxFields = 40
  return limits
}()

private let tableBytes = 300

private func withScratch(_ body: (HTTP2Scratch, UnsafeMutablePointer<FieldRef>) -> Void) {
  let arena = UnsafeMutablePointer<UInt8>.allocate(capacity: limits.arenaBytes)
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: limits.maxFields)
  let scratch = HTTP2Scratch(
    arena: arena, arenaBytes: limits.arenaBytes, fields: fields, fieldCapacity: limits.maxFields)
  body(scratch, fields)
  scratch.release()
  fields.deallocate()
}

/// Block after block for two decoders, until one is broken.
private func blocks(_ source: UnsafePointer<UInt8>, _ count: Int, _ cuts: inout Cuts) {
  var first = HPACKDecoder(tableBytes: tableBytes)
  var second = HPACKDecoder(tableBytes: tableBytes)
  var start = 0
  while start < count {
    let end = min(count, start + 1 + cuts.next(below: max(2, count / 2)))
    let one = decode(&first, source + start, end - start)
    let other = decode(&second, source + start, end - start)
    require(one == other, "the same block after the same blocks means the same")
    require(first.tableSize <= tableBytes && first.tableSize == second.tableSize, "the table keeps to its size")
    guard one != nil else { return }
    start = end
  }
}

/// A digest of what a block says; nil: it is broken.
private func decode(_ decoder: inout HPACKDecoder, _ source: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
  let input = GuardedInput(source, count)
  defer { input.free() }
  var digest: UInt64?
  withScratch { scratch, fields in
    var sink = HeadSink(scratch, limits: limits)
    guard decoder.decode(input.bytes, count, into: &sink) else { return }
    require(sink.fieldCount <= limits.maxFields, "no more fields than allowed")
    require(sink.tooLarge || sink.listBytes <= limits.maxHeaderListBytes, "what is too large is known to be")
    digest = UInt64(sink.listBytes) << 8 + UInt64(sink.fieldCount) << 1 + (sink.tooLarge ? 1 : 0)
    digest = (digest ?? 0) << 8 + UInt64(sink.problem?.rawValue ?? 255)
  }
  return digest
}

/// Fields out of the input, three times over, so that the tables of both ends are used.
private func fields(_ source: UnsafePointer<UInt8>, _ count: Int) {
  let letters = Array("abcdefghijklmnopqrstuvwxyz-01234".utf8)
  var wanted: [(name: [UInt8], value: [UInt8])] = []
  for piece in UnsafeBufferPointer(start: source, count: min(count, 600)).split(separator: 0).prefix(12) {
    let name = Array("x-".utf8) + piece.prefix(9).map { letters[Int($0) % letters.count] }
    let value = piece.dropFirst(3).map { $0 < 0x21 || $0 == 0x7F ? 0x2E : $0 }
    wanted.append((name, value))
  }
  var client = HTTP2Connection(role: .client, limits: limits)
  var server = HTTP2Connection(role: .server, limits: limits)
  for _ in 0..<3 {
    guard let stream = client.openRequest() else { return require(false, "a request can be made") }
    client.requestHead(stream, method: "GET", scheme: "http", authority: "a", path: "/", endStream: true) { head in
      for field in wanted { head.field(name: field.name, field.name.count, field.value, field.value.count) }
    }
    let sent = Array(client.pendingOutput)
    client.didWrite(sent.count)
    withScratch { scratch, _ in
      var input = HTTP2Input(sent, count: sent.count)
      var heads = 0
      loop: while true {
        switch server.next(&input, scratch) {
        case .needMore: break loop
        case .head(_, let head):
          heads += 1
          require(head.head.fieldCount == wanted.count, "as many fields as were sent")
          for (index, field) in wanted.enumerated() {
            require(head.head.bytes(head.head.fields[index].name).elementsEqual(field.name), "the same name")
            require(head.head.bytes(head.head.fields[index].value).elementsEqual(field.value), "the same value")
          }
        case .failed, .refused, .reset: require(false, "what is sent is taken")
        default: continue
        }
      }
      require(heads == 1, "each request arrives")
    }
  }
}
