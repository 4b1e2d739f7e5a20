// Unsafe by design: response heads, read from raw bytes to offsets.
package import MeshModel

extension HTTP1Parser {
  /// Parses a response head at the start of `bytes`; the parameters are those of `parseRequestHead`.
  ///
  /// A response that fails here is answered to the client with 502, and its connection is not used again.
  package static func parseResponseHead(
    _ bytes: UnsafePointer<UInt8>, count: Int, scanned: Int, limits: HTTP1Limits, into head: inout MessageHead,
    info: inout HTTP1ResponseInfo
  ) -> HTTP1ParseResult {
    let end = min(count, limits.maxHeadBytes)
    let atLimit = count >= limits.maxHeadBytes
    if scanned > 0, !atLimit, ByteScan.first(0x0A, in: bytes, from: min(scanned, end), to: end) == nil {
      return .needMore
    }
    guard end > 0 else { return .needMore }
    guard bytes[0] == 0x48 else { return .failure(.badStatusLine) }
    head.base = bytes
    head.fieldCount = 0
    head.methodToken = .other
    head.method = .none
    head.target = .none
    head.path = .none
    head.query = .none
    head.authority = .none
    info = HTTP1ResponseInfo()
    let line = statusLine(bytes, end, &head, &info)
    guard case .done(let fields) = line else {
      return HTTP1FieldParser.settle(line, base: bytes, end: end, atLimit: atLimit, tooLarge: .headTooLarge)
    }
    var facts = HTTP1FieldFacts(minorVersion: info.minorVersion)
    let outcome = HTTP1FieldParser.parse(
      bytes, from: fields, to: end, maxFields: limits.maxFields, into: &head, facts: &facts)
    let result = HTTP1FieldParser.settle(
      outcome, base: bytes, end: end, atLimit: atLimit, tooLarge: .headTooLarge)
    guard case .complete(let length) = result else { return result }
    info.fieldsEnd = UInt32(truncatingIfNeeded: length &- 2)
    if let problem = facts.finish(head) { return .failure(problem) }
    info.keepAlive = facts.keepAlive
    info.hopByHop = facts.hopByHop
    info.upgrade = facts.upgrade
    if facts.chunked {
      info.declared = .chunked
    } else if facts.hasContentLength {
      info.declared = facts.contentLength > 0 ? .length(facts.contentLength) : .none
    }
    return result
  }

  /// `HTTP/1.x SP 3DIGIT [SP phrase] CRLF`; `.done` with the index of the first field.
  @inline(__always)
  private static func statusLine(
    _ base: UnsafePointer<UInt8>, _ end: Int, _ head: inout MessageHead, _ info: inout HTTP1ResponseInfo
  ) -> LineOutcome {
    guard end >= 14 else {
      guard let feed = ByteScan.first(0x0A, in: base, from: 0, to: end) else { return .incomplete }
      return .bad(.badStatusLine, at: feed)
    }
    let word = ByteScan.load8(base)
    let minor = UInt8(truncatingIfNeeded: word &>> 56) &- 0x30
    guard word & 0x00FF_FFFF_FFFF_FFFF == RequestParse.versionWord, minor <= 1, base[8] == 0x20 else {
      return .bad(.badStatusLine, at: 0)
    }
    let (one, two, three) = (base[9] &- 0x30, base[10] &- 0x30, base[11] &- 0x30)
    guard one >= 1, one <= 9, two < 10, three < 10 else { return .bad(.badStatusLine, at: 0) }
    info.minorVersion = minor
    head.status = UInt16(one) &* 100 &+ UInt16(two) &* 10 &+ UInt16(three)
    info.status = head.status
    guard base[12] == 0x20 || base[12] == 0x0D else { return .bad(.badStatusLine, at: 0) }
    let phrase = base[12] == 0x20 ? 13 : 12
    var stop = ByteScan.firstControl(base, from: phrase, to: end)
    while stop < end, base[stop] == 0x09 { stop = ByteScan.firstControl(base, from: stop &+ 1, to: end) }
    guard stop &+ 1 < end else {
      return stop < end && base[stop] != 0x0D ? .bad(.badStatusLine, at: stop) : .incomplete
    }
    guard base[stop] == 0x0D, base[stop &+ 1] == 0x0A else {
      return .bad(.badStatusLine, at: base[stop] == 0x0D ? stop &+ 1 : stop)
    }
    info.phrase = ByteRange(from: phrase, to: stop)
    return .done(stop &+ 2)
  }
}
