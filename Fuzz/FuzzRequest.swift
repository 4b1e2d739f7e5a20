// Shared by the fuzz targets that read requests of HTTP/1.
import MeshHTTP
import MeshModel

/// Parses a request's head in guarded memory.
func parseRequest(
  _ input: GuardedInput, scanned: Int = 0, _ limits: HTTP1Limits, _ head: inout MessageHead,
  _ info: inout HTTP1RequestInfo
) -> HTTP1ParseResult {
  HTTP1Parser.parseRequestHead(
    input.bytes, count: input.count, scanned: scanned, limits: limits,
    scratch: HeadScratch(offset: input.scratch, capacity: input.scratchRoom), into: &head, info: &info)
}

/// Hands on the head, what it says of the message, and its length, where bytes begin with a request that is accepted.
func acceptedRequest(
  _ source: UnsafePointer<UInt8>, _ count: Int, _ take: (MessageHead, HTTP1RequestInfo, _ length: Int) -> Void
) {
  let input = GuardedInput(source, count)
  defer { input.free() }
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: FieldSet.capacity)
  defer { fields.deallocate() }
  var head = MessageHead(base: input.bytes, fields: fields)
  var info = HTTP1RequestInfo()
  if case .complete(let length) = parseRequest(input, HTTP1Limits(), &head, &info) { take(head, info, length) }
}
