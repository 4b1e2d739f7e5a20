package import MeshModel

/// Why a request target is refused.
package enum TargetProblem: UInt8, Error, Sendable, CaseIterable {
  /// A control byte, space, `#`, DEL or a byte above 0x7E.
  case invalidByte
  /// `%` that is not followed by two hexadecimal digits.
  case invalidEscape
  /// `%00`.
  case escapedNul
  /// `%2F` or `%5C`, where the policy refuses them.
  /// A segment such as `..;` or `.;x`, which some servers take for `..` or `.`.
  case dotSegmentParameter
  /// The path does not begin with `/`.
  case notAbsolute
  /// The rewritten path does not fit the scratch.
  case noRoom
}

/// Makes one canonical path of the many ways to write it, so that policy, routing and the application see the same one.
///
/// What is done, which is what Envoy does when set up for an edge (`normalize_path`, `merge_slashes`), with the escapes of RFC 3986 section 6.2.2 in addition:
/// - percent-encoded unreserved characters are decoded, once; other escapes are kept with capital hexadecimal digits;
/// - `\` becomes `/`; `//` becomes `/`;
/// - `.` and `..` segments are removed, however they were written (`%2e%2E`); `..` above the root stays at the root;
/// - `%2F` and `%5C` stay, as part of their segment; who tells paths apart asks `holdsEscapedSlash`, since an application
///   may take them for the slashes that they stand for;
/// - refused: `%00`, broken escapes, `..;` and its kind, `#`, spaces,
///   control bytes and bytes above 0x7E.
///
/// The query is checked for bytes that may not stand there and is otherwise left alone.
package enum PathNormalizer {
  /// Whether a canonical path has an escaped slash or backslash.
  package static func holdsEscapedSlash(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
    guard path.count > 2 else { return false }
    var index = 0
    while index < path.count &- 2 {
      if path[index] == 0x25 {
        let (high, low) = (path[index &+ 1], path[index &+ 2])
        if (high == 0x32 && low == 0x46) || (high == 0x35 && low == 0x43) { return true }
      }
      index &+= 1
    }
    return false
  }

  /// Checks an origin-form target (`/path?query`) at `target` and finds its canonical path and its query.
  ///
  /// `path` lies in the original bytes where they are canonical already (one scan), else in `scratch`.
  /// - Returns: nil, or why the target is refused.
  package static func canonicalize(
    _ target: ByteRange, base: UnsafePointer<UInt8>, scratch: inout HeadScratch,
    path: inout ByteRange, query: inout ByteRange
  ) -> TargetProblem? {
    var scan = TargetScan(start: Int(target.offset))
    let stop = scan.run(base, to: target.limit)
    guard stop == target.limit else { return .invalidByte }
    return finish(scan, stop, base: base, scratch: &scratch, path: &path, query: &query)
  }

  /// Turns a finished scan into ranges.
  @inline(__always)
  static func finish(
    _ scan: TargetScan, _ stop: Int, base: UnsafePointer<UInt8>, scratch: inout HeadScratch,
    path: inout ByteRange, query: inout ByteRange
  ) -> TargetProblem? {
    let pathEnd = scan.queryMark < 0 ? stop : scan.queryMark
    query = scan.queryMark < 0 ? .none : ByteRange(from: scan.queryMark &+ 1, to: stop)
    path = ByteRange(from: scan.start, to: pathEnd)
    guard path.size > 0, base[scan.start] == 0x2F || base[scan.start] == 0x5C else { return .notAbsolute }
    if !scan.suspicious { return nil }
    return rewrite(&path, base: base, scratch: &scratch)
  }

  /// The slow way: writes the canonical path to the scratch, and points `path` there if it differs.
  private static func rewrite(
    _ path: inout ByteRange, base: UnsafePointer<UInt8>, scratch: inout HeadScratch
  ) -> TargetProblem? {
    let count = Int(path.length)
    guard let out = scratch.reserve(count &+ 1, base: base) else { return .noRoom }
    let source = base + Int(path.offset)
    var writer = SegmentWriter(out: out)
    var index = 0
    while index < count {
      var byte = source[index]
      index &+= 1
      if byte == 0x25 {
        guard index &+ 2 <= count else { return .invalidEscape }
        let high = ByteTables.hexValue(source[index])
        let low = ByteTables.hexValue(source[index &+ 1])
        guard high < 16, low < 16 else { return .invalidEscape }
        index &+= 2
        let decoded = high &<< 4 | low
        if decoded == 0 { return .escapedNul }
        guard ByteTables.isUnreserved(decoded) else {
          writer.escape(high, low)
          continue
        }
        byte = decoded
      } else if byte == 0x2F || byte == 0x5C {
        guard writer.endSegment(slash: true) else { return .dotSegmentParameter }
        continue
      }
      writer.append(byte)
    }
    guard writer.endSegment(slash: false) else { return .dotSegmentParameter }
    if writer.count == count, same(out, source, count) { return nil }
    path = ByteRange(from: scratch.offset, to: scratch.offset &+ writer.count)
    scratch.commit(writer.count)
    return nil
  }

  private static func same(_ left: UnsafeMutablePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var index = 0
    while index < count {
      if left[index] != right[index] { return false }
      index &+= 1
    }
    return true
  }
}

/// One pass over the bytes of an origin-form target: where it ends, where the query begins, and whether the path might
/// not be canonical.
struct TargetScan {
  let start: Int
  /// Index of the question mark, or -1.
  var queryMark = -1
  /// Whether the path has anything that the normaliser must look at.
  var suspicious = false

  init(start: Int) { self.start = start }

  /// Scans `[start, end)` and returns the index of the first byte that cannot belong to the target, or `end`.
  @inline(__always)
  mutating func run(_ base: UnsafePointer<UInt8>, to end: Int) -> Int {
    var index = start
    while index < end {
      let kind = ByteTables.targetClass(base[index])
      if kind == ByteTables.targetPlain {
        index &+= 1
        continue
      }
      switch kind {
      case ByteTables.targetSlash:
        index &+= 1
        if index < end, base[index] == 0x2F || base[index] == 0x2E || base[index] == 0x5C { suspicious = true }
      case ByteTables.targetEscape:
        suspicious = true
        index &+= 1
      case ByteTables.targetQuery:
        queryMark = index
        return skipQuery(base, from: index &+ 1, to: end)
      default:
        return index
      }
    }
    return end
  }

  @inline(__always)
  private func skipQuery(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int {
    var index = start
    while index < end, ByteTables.targetClass(base[index]) < ByteTables.targetSpace { index &+= 1 }
    return index
  }
}

/// Writes segments and takes dot segments back out (RFC 3986, 5.2.4, and the merging of slashes).
private struct SegmentWriter {
  let out: UnsafeMutablePointer<UInt8>
  var count = 0
  /// Index of the first byte of the segment being written: behind the last slash.
  var segment = 0

  init(out: UnsafeMutablePointer<UInt8>) { self.out = out }

  @inline(__always)
  mutating func append(_ byte: UInt8) {
    out[count] = byte
    count &+= 1
  }

  mutating func escape(_ high: UInt8, _ low: UInt8) {
    append(0x25)
    append(high < 10 ? 0x30 &+ high : 0x37 &+ high)
    append(low < 10 ? 0x30 &+ low : 0x37 &+ low)
  }

  /// Ends the segment being written; `slash` says that another one follows. False if the segment is a dot segment with
  /// a parameter.
  mutating func endSegment(slash: Bool) -> Bool {
    let length = count &- segment
    if length == 0 {
      if slash, count == 0 {
        append(0x2F)
        segment = 1
      }
      return true
    }
    if out[segment] == 0x2E {
      if length == 1 {
        count = segment
        return true
      }
      if length == 2, out[segment &+ 1] == 0x2E {
        removeParent()
        return true
      }
      if dotParameter(length) { return false }
    }
    if slash {
      append(0x2F)
      segment = count
    }
    return true
  }

  /// Takes out the segment being written and the one before it; at the root there is none before.
  private mutating func removeParent() {
    count = segment
    guard segment > 1 else { return }
    count &-= 1
    while count > 1, out[count &- 1] != 0x2F { count &-= 1 }
    segment = count
  }

  /// `.;…`, `..;…`, and the same with the semicolon escaped.
  private func dotParameter(_ length: Int) -> Bool {
    let dots = out[segment &+ 1] == 0x2E ? 2 : 1
    guard length > dots else { return false }
    let next = segment &+ dots
    if out[next] == 0x3B { return true }
    return length >= dots &+ 3 && out[next] == 0x25 && out[next &+ 1] == 0x33 && out[next &+ 2] == 0x42
  }
}
