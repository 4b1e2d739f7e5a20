// Unsafe by design: the rarer forms of a request target, and the one canonical authority.
import MeshModel

extension RequestParse {
  /// Absolute form, authority form and `*`.
  mutating func otherTarget(
    from start: Int, _ head: inout MessageHead, _ info: inout HTTP1RequestInfo
  ) -> LineOutcome {
    var stop = start
    while stop < end, ByteTables.targetClass(base[stop]) < ByteTables.targetSpace { stop &+= 1 }
    guard stop < end else { return .incomplete }
    guard base[stop] == 0x20, stop > start else { return .bad(.badTarget, at: stop) }
    head.path = .none
    if head.methodToken.equals(.connect) {
      info.targetForm = .authority
      head.authority = ByteRange(from: start, to: stop)
      return hasPort(head.authority) ? .done(stop) : .bad(.badTargetForm, at: stop)
    }
    if base[start] == 0x2A, stop == start &+ 1 {
      // The preface of HTTP/2 has this form with a method of its own; the version tells it apart.
      guard head.methodToken.equals(.options) || isPrefaceMethod(head) else { return .bad(.badTargetForm, at: stop) }
      info.targetForm = .asterisk
      head.path = ByteRange(from: start, to: stop)
      return .done(stop)
    }
    return absolute(from: start, to: stop, &head, &info)
  }

  private func isPrefaceMethod(_ head: MessageHead) -> Bool {
    let name = base + Int(head.method.offset)
    return head.method.length == 3 && name[0] == 0x50 && name[1] == 0x52 && name[2] == 0x49
  }

  /// `scheme://authority[/path][?query]`, the scheme being http or https.
  private mutating func absolute(
    from start: Int, to stop: Int, _ head: inout MessageHead, _ info: inout HTTP1RequestInfo
  ) -> LineOutcome {
    let length = stop &- start
    var schemeLength = 0
    if length > 7, ByteScan.equal(base + start, 4, lower: "http") {
      schemeLength = base[start &+ 4] == 0x3A ? 4 : base[start &+ 4] | 0x20 == 0x73 ? 5 : 0
    }
    let slashes = start &+ schemeLength
    guard schemeLength > 0, slashes &+ 3 < stop, base[slashes] == 0x3A, base[slashes &+ 1] == 0x2F,
      base[slashes &+ 2] == 0x2F
    else { return .bad(.badTargetForm, at: stop) }
    info.targetForm = .absolute
    info.scheme = ByteRange(from: start, to: slashes)
    let authority = slashes &+ 3
    var index = authority
    while index < stop, base[index] != 0x2F, base[index] != 0x3F, base[index] != 0x5C { index &+= 1 }
    guard index > authority else { return .bad(.badAuthority, at: stop) }
    head.authority = ByteRange(from: authority, to: index)
    if index < stop, base[index] != 0x3F {
      var scan = TargetScan(start: index)
      _ = scan.run(base, to: stop)
      if let problem = path(scan, stop, &head) { return .bad(problem, at: stop) }
      return .done(stop)
    }
    return emptyPath(at: index, to: stop, &head)
  }

  /// An absolute form without a path means `/`, or `*` with OPTIONS (RFC 9112, 3.2.4).
  private mutating func emptyPath(at index: Int, to stop: Int, _ head: inout MessageHead) -> LineOutcome {
    guard let out = scratch.reserve(1, base: base) else { return .bad(.targetTooLong, at: stop) }
    out[0] = head.methodToken.equals(.options) && index == stop ? 0x2A : 0x2F
    head.path = ByteRange(from: scratch.offset, to: scratch.offset &+ 1)
    scratch.commit(1)
    if index < stop { head.query = ByteRange(from: index &+ 1, to: stop) }
    return .done(stop)
  }

  /// After the fields: one canonical authority, and what the fields say.
  mutating func finish(
    _ facts: inout HTTP1FieldFacts, _ head: inout MessageHead, _ info: inout HTTP1RequestInfo
  ) -> HTTP1Error? {
    if let problem = facts.finish(head) { return problem }
    if info.targetForm == .asterisk, !head.methodToken.equals(.options) { return .badTargetForm }
    if let problem = settleAuthority(facts, &head, info) { return problem }
    if info.targetForm == .authority, facts.chunked || facts.contentLength > 0 { return .bodyOnConnect }
    info.keepAlive = facts.keepAlive
    info.framing = facts.chunked ? .chunked : facts.contentLength > 0 ? .length(facts.contentLength) : .none
    info.expectContinue = facts.expectContinue && info.framing != .none
    info.acceptsTrailers = facts.acceptsTrailers
    info.upgrade = facts.minorVersion == 1 ? facts.upgrade : .none
    info.hopByHop = facts.hopByHop
    return nil
  }

  @inline(__always)
  private mutating func settleAuthority(
    _ facts: HTTP1FieldFacts, _ head: inout MessageHead, _ info: HTTP1RequestInfo
  ) -> HTTP1Error? {
    if !facts.hasHost || facts.host.size == 0 {
      if facts.minorVersion == 1 { return .missingHost }
      if head.authority.size == 0 { return nil }
    }
    let fromTarget = info.targetForm == .absolute || info.targetForm == .authority
    if !fromTarget { head.authority = facts.host }
    var capitals = false
    let start = Int(head.authority.offset)
    for index in start..<head.authority.limit {
      guard ByteTables.isAuthority(base[index]) else { return .badAuthority }
      if ByteTables.isUpper(base[index]) { capitals = true }
    }
    if fromTarget, facts.hasHost, !sameAuthority(head, facts.host, info) { return .authorityMismatch }
    return capitals ? lowercase(&head) : nil
  }

  /// Whether Host names the same authority as the target: without regard to case, and to a port that is the scheme's
  /// own (or, with CONNECT, to a port that Host leaves out).
  private func sameAuthority(
    _ head: MessageHead, _ host: ByteRange, _ info: HTTP1RequestInfo
  ) -> Bool {
    if head.sameIgnoringCase(head.authority, host) { return true }
    if info.targetForm == .authority {
      return !hasPort(host) && head.sameIgnoringCase(withoutPort(head.authority, nil), host)
    }
    let port: StaticString = info.scheme.length == 5 ? "443" : "80"
    return head.sameIgnoringCase(withoutPort(head.authority, port), withoutPort(host, port))
  }

  /// The index of the colon before the port, or nil. The colons of an IPv6 address stand within brackets.
  private func portColon(_ authority: ByteRange) -> Int? {
    var index = authority.limit &- 1
    let start = Int(authority.offset)
    while index > start, base[index] &- 0x30 < 10 { index &-= 1 }
    return index > start && base[index] == 0x3A && base[index &- 1] != 0x3A ? index : nil
  }

  private func hasPort(_ authority: ByteRange) -> Bool {
    guard let colon = portColon(authority) else { return false }
    return colon &+ 1 < authority.limit && authority.limit &- colon <= 6
  }

  /// The authority with its port cut off, if that port is `only` or empty (nil: whichever it is).
  private func withoutPort(_ authority: ByteRange, _ only: StaticString?) -> ByteRange {
    guard let colon = portColon(authority) else { return authority }
    let digits = authority.limit &- colon &- 1
    if let only, digits > 0, !ByteScan.equal(base + (colon &+ 1), digits, lower: only) { return authority }
    return ByteRange(from: Int(authority.offset), to: colon)
  }

  private mutating func lowercase(_ head: inout MessageHead) -> HTTP1Error? {
    let count = Int(head.authority.length)
    guard let out = scratch.reserve(count, base: base) else { return .badAuthority }
    for index in 0..<count {
      let byte = base[Int(head.authority.offset) &+ index]
      out[index] = ByteTables.isUpper(byte) ? byte | 0x20 : byte
    }
    head.authority = ByteRange(from: scratch.offset, to: scratch.offset &+ count)
    scratch.commit(count)
    return nil
  }
}
