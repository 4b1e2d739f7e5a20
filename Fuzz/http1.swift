// Fuzz target for everything that reads HTTP/1 from peers. The same input is taken for a request, a response, a chunked
// body and a trailer section. What must hold: no stray access, no crash; pieces give what the whole gives; what is accepted
// is accepted with the same meaning after it was written out again.
import Glibc
import MeshHTTP
import MeshModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  var cuts = Cuts(source, count)
  let limits = HTTP1Limits(
    maxHeadBytes: cuts.next(below: 2) == 0 ? 60 * 1024 : 200, maxFields: 12)
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: FieldSet.capacity)
  defer { fields.deallocate() }
  requestHead(source, count, fields, limits, &cuts)
  responseHead(source, count, fields, limits, &cuts)
  trailers(source, count, fields, limits, &cuts)
  body(source, count, &cuts)
  return 0
}

private func requestHead(
  _ source: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<FieldRef>, _ limits: HTTP1Limits,
  _ cuts: inout Cuts
) {
  let whole = GuardedInput(source, count)
  defer { whole.free() }
  var head = MessageHead(base: whole.bytes, fields: fields)
  var info = HTTP1RequestInfo()
  let result = parseRequest(whole, limits, &head, &info)
  // Pieces.
  var scanned = 0
  var piecewise = HTTP1ParseResult.needMore
  let other = UnsafeMutablePointer<FieldRef>.allocate(capacity: FieldSet.capacity)
  defer { other.deallocate() }
  while scanned < count, piecewise == .needMore {
    let end = min(count, scanned + 1 + cuts.next(below: max(2, count / 3)))
    let piece = GuardedInput(source, end)
    var otherHead = MessageHead(base: piece.bytes, fields: other)
    var otherInfo = HTTP1RequestInfo()
    piecewise = parseRequest(piece, scanned: scanned, limits, &otherHead, &otherInfo)
    if case .complete = piecewise {
      require(otherHead.fieldCount == head.fieldCount, "the same fields")
      require(otherInfo.framing == info.framing, "the same framing")
      require(same(otherHead, otherHead.path, head, head.path), "the same path")
      require(same(otherHead, otherHead.authority, head, head.authority), "the same authority")
    }
    piece.free()
    scanned = end
  }
  require(piecewise == result, "pieces give what the whole gives")
  guard case .complete(let length) = result else { return }
  require(length <= count && length <= limits.maxHeadBytes, "the head lies within the input")
  acceptedRequest(head, info, limits, room: 2 * count + 256)
}

/// What must hold of a request that was accepted.
private func acceptedRequest(_ head: MessageHead, _ info: HTTP1RequestInfo, _ limits: HTTP1Limits, room: Int) {
  let path = head.bytes(head.path)
  if info.targetForm != .authority {
    require(path.first == 0x2F || (path.count == 1 && path.first == 0x2A), "the path is absolute")
  }
  for index in path.indices {
    require(path[index] > 0x20 && path[index] < 0x7F && path[index] != 0x5C, "the path has only plain bytes")
    if index > 0 { require(path[index] != 0x2F || path[index - 1] != 0x2F, "no empty segments") }
  }
  for segment in path.split(separator: 0x2F) {
    require(!segment.elementsEqual([0x2E]) && !segment.elementsEqual([0x2E, 0x2E]), "no dot segments")
  }
  let output = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
  defer { output.deallocate() }
  var writer = HTTP1Writer(output, capacity: room)
  if info.targetForm == .authority {
    writer.bytes(head.bytes(head.method))
    writer.byte(0x20)
    writer.bytes(head.bytes(head.authority))
    writer.text(" HTTP/1.1\r\n")
  } else {
    writer.requestLine(head)
  }
  var hasHost = false
  for index in 0..<head.fieldCount {
    if head.fields[index].known == .host { hasHost = !head.fields[index].value.isEmpty }
    for byte in head.bytes(head.fields[index].value) { require(byte >= 0x20 || byte == 0x09, "no controls in values") }
  }
  // What HTTP/1.0 says to this hop means something else in the HTTP/1.1 that is written.
  let dropped = info.minorVersion == 0 ? info.hopByHop : FieldSet()
  writer.fields(of: head, except: dropped, fieldsEnd: info.fieldsEnd)
  writer.endOfLine()
  require(!writer.overflowed, "there is room to write it out")
  guard hasHost else { return }
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: FieldSet.capacity)
  defer { fields.deallocate() }
  let copy = GuardedInput(output, writer.count)
  defer { copy.free() }
  var again = MessageHead(base: copy.bytes, fields: fields)
  var againInfo = HTTP1RequestInfo()
  let wide = HTTP1Limits(maxHeadBytes: 1 << 20, maxFields: 12)
  let result = parseRequest(copy, wide, &again, &againInfo)
  require(result == .complete(length: writer.count), "what was accepted is accepted again")
  require(same(head, head.path, again, again.path), "the canonical path stays")
  require(same(head, head.query, again, again.query), "the query stays")
  guard dropped.isEmpty else { return }
  require(again.fieldCount == head.fieldCount, "the fields stay")
  for index in 0..<head.fieldCount {
    require(same(head, head.fields[index].name, again, again.fields[index].name), "names stay")
    require(same(head, head.fields[index].value, again, again.fields[index].value), "values stay")
  }
  if info.minorVersion == 1 { require(againInfo.framing == info.framing, "the framing stays") }
}

private func responseHead(
  _ source: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<FieldRef>, _ limits: HTTP1Limits,
  _ cuts: inout Cuts
) {
  func run(_ end: Int, _ scanned: Int) -> (HTTP1ParseResult, BodyFraming, UInt16) {
    let input = GuardedInput(source, end)
    defer { input.free() }
    var head = MessageHead(base: input.bytes, fields: fields)
    var info = HTTP1ResponseInfo()
    let result = HTTP1Parser.parseResponseHead(
      input.bytes, count: end, scanned: scanned, limits: limits, into: &head, info: &info)
    guard case .complete = result else { return (result, .none, 0) }
    return (result, info.framing(forRequestMethod: .get), head.status)
  }
  let whole = run(count, 0)
  var scanned = 0
  var last: (HTTP1ParseResult, BodyFraming, UInt16) = (.needMore, .none, 0)
  while scanned < count, last.0 == .needMore {
    let end = min(count, scanned + 1 + cuts.next(below: max(2, count / 3)))
    last = run(end, scanned)
    scanned = end
  }
  require(last == whole, "pieces of a response give what the whole gives")
}

private func trailers(
  _ source: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<FieldRef>, _ limits: HTTP1Limits,
  _ cuts: inout Cuts
) {
  func run(_ end: Int, _ scanned: Int) -> HTTP1ParseResult {
    let input = GuardedInput(source, end)
    defer { input.free() }
    var head = MessageHead(base: input.bytes, fields: fields)
    return HTTP1Parser.parseTrailers(input.bytes, count: end, scanned: scanned, limits: limits, into: &head)
  }
  let whole = run(count, 0)
  var scanned = 0
  var last = HTTP1ParseResult.needMore
  while scanned < count, last == .needMore {
    let end = min(count, scanned + 1 + cuts.next(below: max(2, count / 3)))
    last = run(end, scanned)
    scanned = end
  }
  require(last == whole, "pieces of trailers give what the whole gives")
}

private func body(_ source: UnsafePointer<UInt8>, _ count: Int, _ cuts: inout Cuts) {
  func read(_ cut: (Int) -> Int) -> (UInt64, Int, HTTP1BodyStep.Progress) {
    var reader = HTTP1BodyReader(.chunked)
    var start = 0
    var progress = HTTP1BodyStep.Progress.more
    while start < count, progress == .more {
      let end = min(count, start + max(1, cut(start)))
      let piece = GuardedInput(source + start, end - start)
      let step = reader.passThrough(piece.bytes, count: piece.count)
      piece.free()
      require(step.consumed <= end - start, "no more is consumed than there is")
      require(step.progress != .more || step.consumed == end - start, "a body that goes on takes all bytes")
      start += step.consumed
      progress = step.progress
    }
    return (reader.payloadBytes, start, progress)
  }
  let whole = read { _ in count }
  let limit = max(2, count / 3)
  var own = cuts
  let pieces = read { _ in own.next(below: limit) }
  require(pieces == whole, "pieces of a body give what the whole gives")
}

private func same(_ one: MessageHead, _ range: ByteRange, _ other: MessageHead, _ otherRange: ByteRange) -> Bool {
  one.bytes(range).elementsEqual(other.bytes(otherRange))
}
