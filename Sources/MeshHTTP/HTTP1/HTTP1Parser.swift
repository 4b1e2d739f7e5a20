// Unsafe by design: request heads, read from raw bytes to offsets.
package import MeshModel

/// HTTP/1.0 and HTTP/1.1 heads (RFC 9112), strictly: whatever two readers could understand differently is refused.
///
/// Nothing is copied and nothing is allocated; the ranges in a head point into the bytes given. A head is parsed from
/// its first byte each time, but only when a new line feed has arrived since the last time (`scanned`), so that a head
/// that dribbles in costs no more than one pass per line. One empty line before a request is passed over (RFC 9112,
/// 2.2).
package enum HTTP1Parser {
  /// Parses a request head at the start of `bytes`.
  ///
  /// - Parameters:
  ///   - scanned: how many of the bytes were there at the last call for this head that answered `.needMore`, else 0.
  ///   - scratch: room behind the bytes for what has to be rewritten.
  ///   - head: its `fields` storage must hold `limits.maxFields`; everything else is set, `base` to `bytes`.
  ///   - info: set when the result is `.complete`.
  package static func parseRequestHead(
    _ bytes: UnsafePointer<UInt8>, count: Int, scanned: Int, limits: HTTP1Limits, scratch: HeadScratch,
    into head: inout MessageHead, info: inout HTTP1RequestInfo
  ) -> HTTP1ParseResult {
    let end = min(count, limits.maxHeadBytes)
    let atLimit = count >= limits.maxHeadBytes
    if scanned > 0, !atLimit, ByteScan.first(0x0A, in: bytes, from: min(scanned, end), to: end) == nil {
      return .needMore
    }
    guard end > 0 else { return .needMore }
    var request = RequestParse(base: bytes, end: end, limits: limits, scratch: scratch)
    let line = request.line(&head, &info)
    guard case .done(let fields) = line else {
      // Not HTTP at all: no need to wait for the end of a line.
      if case .bad(.badMethod, at: 0) = line { return .failure(.badMethod) }
      return HTTP1FieldParser.settle(line, base: bytes, end: end, atLimit: atLimit, tooLarge: .targetTooLong)
    }
    var facts = HTTP1FieldFacts(minorVersion: info.minorVersion)
    let outcome = HTTP1FieldParser.parse(
      bytes, from: fields, to: end, maxFields: limits.maxFields, into: &head, facts: &facts)
    let result = HTTP1FieldParser.settle(
      outcome, base: bytes, end: end, atLimit: atLimit, tooLarge: .headTooLarge)
    guard case .complete(let length) = result else { return result }
    info.fieldsEnd = UInt32(truncatingIfNeeded: length &- 2)
    if let problem = request.finish(&facts, &head, &info) { return .failure(problem) }
    return result
  }

  /// Parses the trailer section behind the last chunk, up to and with its empty line.
  ///
  /// - Parameters:
  ///   - scanned: as in `parseRequestHead`.
  ///   - head: receives the fields; its `fields` storage must hold `limits.maxFields`. Its other parts are left alone.
  /// - Returns: `.failure(.forbiddenTrailer)` for a field that frames, routes or authenticates a message and therefore
  ///   may not come behind it (RFC 9110, 6.5.1).
  package static func parseTrailers(
    _ bytes: UnsafePointer<UInt8>, count: Int, scanned: Int, limits: HTTP1Limits, into head: inout MessageHead
  ) -> HTTP1ParseResult {
    let end = min(count, limits.maxTrailerBytes)
    let atLimit = count >= limits.maxTrailerBytes
    if scanned > 0, !atLimit, ByteScan.first(0x0A, in: bytes, from: min(scanned, end), to: end) == nil {
      return .needMore
    }
    head.base = bytes
    var facts = HTTP1FieldFacts(minorVersion: 1)
    let outcome = HTTP1FieldParser.parse(
      bytes, from: 0, to: end, maxFields: limits.maxFields, into: &head, facts: &facts)
    let result = HTTP1FieldParser.settle(
      outcome, base: bytes, end: end, atLimit: atLimit, tooLarge: .trailersTooLarge)
    guard case .complete = result else { return result }
    for index in 0..<head.fieldCount where isForbiddenTrailer(head.fields[index].known) {
      return .failure(.forbiddenTrailer)
    }
    return result
  }

  /// Whether a field with this name may not stand in a trailer section.
  package static func isForbiddenTrailer(_ known: KnownHeader) -> Bool {
    switch known {
    case .host, .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te, .trailer, .upgrade,
      .expect, .proxyAuthenticate, .proxyAuthorization, .http2Settings, .authorization, .cookie, .contentType,
      .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedClientCert, .forwarded:
      true
    default: false
    }
  }
}

/// One pass over a request line, and what is checked after the fields.
struct RequestParse {
  let base: UnsafePointer<UInt8>
  let end: Int
  let limits: HTTP1Limits
  var scratch: HeadScratch

  /// "HTTP/1." and a digit as one little-endian word, the digit masked off.
  static let versionWord: UInt64 = 0x2E_312F_5054_5448

  /// `method SP target SP HTTP/1.x CRLF`; `.done` with the index of the first field.
  @inline(__always)
  mutating func line(_ head: inout MessageHead, _ info: inout HTTP1RequestInfo) -> LineOutcome {
    var start = 0
    if base[0] == 0x0D {
      guard end > 1 else { return .incomplete }
      guard base[1] == 0x0A else { return .bad(.badMethod, at: 1) }
      guard end > 2 else { return .incomplete }
      start = 2
    }
    head.base = base
    head.fieldCount = 0
    head.status = 0
    head.query = .none
    head.authority = .none
    info = HTTP1RequestInfo()
    var index = start
    while index < end, ByteTables.isToken(base[index]) { index &+= 1 }
    guard index < end else { return .incomplete }
    guard base[index] == 0x20, index > start else { return .bad(.badMethod, at: index) }
    head.method = ByteRange(from: start, to: index)
    head.methodToken = Method.lookup(base + start, index &- start)
    let targetStart = index &+ 1
    let outcome = target(from: targetStart, &head, &info)
    guard case .done(let stop) = outcome else { return outcome }
    head.target = ByteRange(from: targetStart, to: stop)
    if stop &- targetStart > limits.maxTargetBytes { return .bad(.targetTooLong, at: stop) }
    guard stop &+ 11 <= end else { return shortVersion(stop, head) }
    return version(stop &+ 1, head, &info)
  }

  /// The line is not long enough for a version: either it has not arrived, or it never was there.
  private func shortVersion(_ stop: Int, _ head: MessageHead) -> LineOutcome {
    guard let feed = ByteScan.first(0x0A, in: base, from: stop, to: end) else { return .incomplete }
    // Judge a bare line feed behind the version as `version` does when more bytes have arrived.
    guard feed == stop &+ 9 else { return .bad(.badVersion, at: feed) }
    let word = ByteScan.load8(base + (stop &+ 1))
    let minor = UInt8(truncatingIfNeeded: word &>> 56) &- 0x30
    let known = word & 0x00FF_FFFF_FFFF_FFFF == Self.versionWord && minor <= 1
    return .bad(known ? .badLineEnd : versionProblem(stop &+ 1, head), at: feed)
  }

  @inline(__always)
  private func version(_ start: Int, _ head: MessageHead, _ info: inout HTTP1RequestInfo) -> LineOutcome {
    let word = ByteScan.load8(base + start)
    let minor = UInt8(truncatingIfNeeded: word &>> 56) &- 0x30
    guard word & 0x00FF_FFFF_FFFF_FFFF == Self.versionWord, minor <= 1 else {
      return .bad(versionProblem(start, head), at: start)
    }
    guard base[start &+ 8] == 0x0D, base[start &+ 9] == 0x0A else { return .bad(.badLineEnd, at: start &+ 8) }
    info.minorVersion = minor
    return .done(start &+ 10)
  }

  private func versionProblem(_ start: Int, _ head: MessageHead) -> HTTP1Error {
    let word = ByteScan.load8(base + start)
    let named = word & 0xFF_FFFF_FFFF == 0x2F_5054_5448  // "HTTP/"
    let digits = base[start &+ 5] &- 0x30 < 10 && base[start &+ 6] == 0x2E && base[start &+ 7] &- 0x30 < 10
    guard named, digits else { return .badVersion }
    let preface = head.method.length == 3 && head.target.length == 1 && base[start &+ 5] == 0x32
    return preface && base[Int(head.method.offset)] == 0x50 ? .http2Preface : .unsupportedVersion
  }

  /// The target; `.done` with the index of the space behind it.
  @inline(__always)
  private mutating func target(
    from start: Int, _ head: inout MessageHead, _ info: inout HTTP1RequestInfo
  ) -> LineOutcome {
    guard start < end else { return .incomplete }
    if base[start] == 0x2F || base[start] == 0x5C, !head.methodToken.equals(.connect) {
      var scan = TargetScan(start: start)
      let stop = scan.run(base, to: end)
      guard stop < end else { return .incomplete }
      guard base[stop] == 0x20 else { return .bad(.badTarget, at: stop) }
      if let problem = path(scan, stop, &head) { return .bad(problem, at: stop) }
      return .done(stop)
    }
    return otherTarget(from: start, &head, &info)
  }

  @inline(__always)
  mutating func path(_ scan: TargetScan, _ stop: Int, _ head: inout MessageHead) -> HTTP1Error? {
    let problem = PathNormalizer.finish(
      scan, stop, base: base, scratch: &scratch, path: &head.path,
      query: &head.query)
    guard let problem else { return nil }
    return HTTP1Error(problem)
  }
}

extension Method {
  /// The method with these bytes; `.other` if it is none that the mesh tells apart. Methods are case-sensitive.
  package static func lookup(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Method {
    switch count {
    case 3:
      if exact(bytes, "GET") { return .get }
      if exact(bytes, "PUT") { return .put }
    case 4:
      if exact(bytes, "POST") { return .post }
      if exact(bytes, "HEAD") { return .head }
    case 5:
      if exact(bytes, "PATCH") { return .patch }
      if exact(bytes, "TRACE") { return .trace }
    case 6: if exact(bytes, "DELETE") { return .delete }
    case 7:
      if exact(bytes, "OPTIONS") { return .options }
      if exact(bytes, "CONNECT") { return .connect }
    default: break
    }
    return .other
  }

  @inline(__always)
  private static func exact(_ bytes: UnsafePointer<UInt8>, _ name: StaticString) -> Bool {
    var index = 0
    while index < name.utf8CodeUnitCount {
      if bytes[index] != name.utf8Start[index] { return false }
      index &+= 1
    }
    return true
  }
}
