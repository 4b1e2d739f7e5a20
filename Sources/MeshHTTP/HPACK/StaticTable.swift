// Unsafe by design: constant text is handed out as pointers.
import MeshModel

/// The static table of HPACK (RFC 7541, appendix A).
enum StaticTable {
  /// Number of entries; indexes begin at 1.
  static let count = 61

  /// The text of an entry, name and value one behind the other.
  struct Entry {
    let name: StaticString
    let value: StaticString
    let known: KnownHeader

    @inline(__always)
    init(_ name: StaticString, _ value: StaticString, _ known: KnownHeader = .other) {
      self.name = name
      self.value = value
      self.known = known
    }
  }

  /// The entry with this index, 1 to 61.
  static func entry(_ index: Int) -> Entry? {
    if index <= 14 { return pseudo(index) }
    return index <= 38 ? toHost(index) : behindHost(index)
  }

  private static func pseudo(_ index: Int) -> Entry? {
    switch index {
    case 1: Entry(":authority", "", .pseudoAuthority)
    case 2: Entry(":method", "GET", .pseudoMethod)
    case 3: Entry(":method", "POST", .pseudoMethod)
    case 4: Entry(":path", "/", .pseudoPath)
    case 5: Entry(":path", "/index.html", .pseudoPath)
    case 6: Entry(":scheme", "http", .pseudoScheme)
    case 7: Entry(":scheme", "https", .pseudoScheme)
    case 8: Entry(":status", "200", .pseudoStatus)
    case 9: Entry(":status", "204", .pseudoStatus)
    case 10: Entry(":status", "206", .pseudoStatus)
    case 11: Entry(":status", "304", .pseudoStatus)
    case 12: Entry(":status", "400", .pseudoStatus)
    case 13: Entry(":status", "404", .pseudoStatus)
    case 14: Entry(":status", "500", .pseudoStatus)
    default: nil
    }
  }

  private static func toHost(_ index: Int) -> Entry? {
    switch index {
    case 15: Entry("accept-charset", "")
    case 16: Entry("accept-encoding", "gzip, deflate")
    case 17: Entry("accept-language", "")
    case 18: Entry("accept-ranges", "")
    case 19: Entry("accept", "")
    case 20: Entry("access-control-allow-origin", "")
    case 21: Entry("age", "")
    case 22: Entry("allow", "")
    case 23: Entry("authorization", "", .authorization)
    case 24: Entry("cache-control", "")
    case 25: Entry("content-disposition", "")
    case 26: Entry("content-encoding", "")
    case 27: Entry("content-language", "")
    case 28: Entry("content-length", "", .contentLength)
    case 29: Entry("content-location", "")
    case 30: Entry("content-range", "")
    case 31: Entry("content-type", "", .contentType)
    case 32: Entry("cookie", "", .cookie)
    case 33: Entry("date", "", .date)
    case 34: Entry("etag", "")
    case 35: Entry("expect", "", .expect)
    case 36: Entry("expires", "")
    case 37: Entry("from", "")
    case 38: Entry("host", "", .host)
    default: nil
    }
  }

  private static func behindHost(_ index: Int) -> Entry? {
    switch index {
    case 39: Entry("if-match", "")
    case 40: Entry("if-modified-since", "")
    case 41: Entry("if-none-match", "")
    case 42: Entry("if-range", "")
    case 43: Entry("if-unmodified-since", "")
    case 44: Entry("last-modified", "")
    case 45: Entry("link", "")
    case 46: Entry("location", "", .location)
    case 47: Entry("max-forwards", "")
    case 48: Entry("proxy-authenticate", "", .proxyAuthenticate)
    case 49: Entry("proxy-authorization", "", .proxyAuthorization)
    case 50: Entry("range", "")
    case 51: Entry("referer", "")
    case 52: Entry("refresh", "")
    case 53: Entry("retry-after", "", .retryAfter)
    case 54: Entry("server", "", .server)
    case 55: Entry("set-cookie", "")
    case 56: Entry("strict-transport-security", "")
    case 57: Entry("transfer-encoding", "", .transferEncoding)
    case 58: Entry("user-agent", "", .userAgent)
    case 59: Entry("vary", "")
    case 60: Entry("via", "", .via)
    case 61: Entry("www-authenticate", "")
    default: nil
    }
  }

  /// The index of the first entry with this name (in lower case), or 0.
  static func index(ofName name: UnsafePointer<UInt8>, _ count: Int, known: KnownHeader) -> Int {
    switch known {
    case .pseudoAuthority: return 1
    case .pseudoMethod: return 2
    case .pseudoPath: return 4
    case .pseudoScheme: return 6
    case .pseudoStatus: return 8
    case .authorization: return 23
    case .contentLength: return 28
    case .contentType: return 31
    case .cookie: return 32
    case .date: return 33
    case .expect: return 35
    case .host: return 38
    case .location: return 46
    case .proxyAuthenticate: return 48
    case .proxyAuthorization: return 49
    case .retryAfter: return 53
    case .server: return 54
    case .transferEncoding: return 57
    case .userAgent: return 58
    case .via: return 60
    case .other: return unnamed(name, count)
    default: return 0
    }
  }

  /// Names that the mesh gives no meaning, by their length.
  private static func unnamed(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int {
    switch count {
    case 3: find(name, count, 21)
    case 4: find(name, count, 34, 37, 45, 59)
    case 5: find(name, count, 22, 50)
    case 6: find(name, count, 19)
    case 7: find(name, count, 36, 51, 52)
    case 8: find(name, count, 39, 42)
    case 10: find(name, count, 55)
    case 12: find(name, count, 47)
    case 13: find(name, count, 18, 24, 30, 41, 44)
    case 14: find(name, count, 15)
    case 15: find(name, count, 16, 17)
    case 16: find(name, count, 26, 27, 29, 61)
    case 17: find(name, count, 40)
    case 19: find(name, count, 25, 43)
    case 25: find(name, count, 56)
    case 27: find(name, count, 20)
    default: 0
    }
  }

  @inline(__always)
  private static func find(
    _ name: UnsafePointer<UInt8>, _ count: Int, _ first: Int, _ second: Int = 0, _ third: Int = 0, _ fourth: Int = 0,
    _ fifth: Int = 0
  ) -> Int {
    if same(name, count, first) { return first }
    if second > 0, same(name, count, second) { return second }
    if third > 0, same(name, count, third) { return third }
    if fourth > 0, same(name, count, fourth) { return fourth }
    if fifth > 0, same(name, count, fifth) { return fifth }
    return 0
  }

  private static func same(_ name: UnsafePointer<UInt8>, _ count: Int, _ index: Int) -> Bool {
    guard let entry = entry(index) else { return false }
    return ByteScan.equal(name, count, lower: entry.name)
  }

  /// The index of an entry with this name and value, or 0.
  static func index(
    of known: KnownHeader, value: UnsafePointer<UInt8>, _ count: Int
  ) -> Int {
    switch known {
    case .pseudoMethod: return exact(value, count, "GET") ? 2 : exact(value, count, "POST") ? 3 : 0
    case .pseudoPath: return exact(value, count, "/") ? 4 : exact(value, count, "/index.html") ? 5 : 0
    case .pseudoScheme: return exact(value, count, "https") ? 7 : exact(value, count, "http") ? 6 : 0
    case .pseudoStatus:
      var index = 8
      while index <= 14 {
        if let entry = pseudo(index), exact(value, count, entry.value) { return index }
        index &+= 1
      }
      return 0
    default: return 0
    }
  }

  @inline(__always)
  private static func exact(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    var index = 0
    while index < count {
      if bytes[index] != text.utf8Start[index] { return false }
      index &+= 1
    }
    return true
  }
}
