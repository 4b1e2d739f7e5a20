package import MeshModel

/// An origin that is allowed, taken apart. Ranges are relative to `RouteTableView.bytes`.
struct CompiledOrigin {
  var isSecure: Bool
  /// Lower case; with `isSuffix` what the host must end with, from its dot on. Empty with `isSuffix`: every host.
  var host: ByteRange
  var isSuffix: Bool
  /// The scheme's own where none is written.
  var port: UInt16
}

/// A rule's cross-origin resource sharing as the traffic path reads it.
package struct CompiledCORS: Sendable, BitwiseCopyable {
  /// Index range in `RouteTableView.origins`.
  var origins = TableSlice.empty
  var isAnyOrigin = false
  /// Lists as they are answered, empty for none; without the `*`.
  var methods = ByteRange.empty
  var isAnyMethod = false
  var headers = ByteRange.empty
  var isAnyHeader = false
  var exposed = ByteRange.empty
  var isAnyExposed = false
  var allowsCredentials = false
  var maxAgeSeconds: UInt32 = 5
}

/// What a request is to a rule that has to do with origins (the Fetch standard, section 3.2).
package enum CORSRequest: Sendable, Equatable {
  /// It names no origin.
  case sameOrigin
  /// A client asks what it would be allowed; the mesh answers.
  case preflight
  /// A script's request, which goes on.
  case actual
}

extension RouteTableView {
  /// What the request is to rules with cross-origin resource sharing.
  package func corsRequest(_ head: borrowing MessageHead) -> CORSRequest {
    guard value("origin", head) != nil else { return .sameOrigin }
    guard head.methodToken == .options else { return .actual }
    return value("access-control-request-method", head) == nil ? .actual : .preflight
  }

  /// Writes the fields that answer a preflight request, each with its line's end; none but `Vary` where the origin is not
  /// allowed, which tells the client so.
  package func writePreflight(_ cors: CompiledCORS, _ head: borrowing MessageHead, into writer: inout FixedWriter) {
    writer.append("vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n")
    guard let origin = value("origin", head), allows(origin, cors) else { return }
    writeOrigin(cors, origin, into: &writer)
    if cors.isAnyMethod {
      write("access-control-allow-methods: ", value("access-control-request-method", head), into: &writer)
    } else {
      write("access-control-allow-methods: ", text(cors.methods), into: &writer)
    }
    if cors.isAnyHeader {
      write("access-control-allow-headers: ", value("access-control-request-headers", head), into: &writer)
    } else {
      write("access-control-allow-headers: ", text(cors.headers), into: &writer)
    }
    writeExposed(cors, into: &writer)
    writer.append("access-control-max-age: ")
    writer.append(decimal: UInt64(cors.maxAgeSeconds))
    writer.append("\r\n")
  }

  /// Writes the fields that an answer to a script's request gets, each with its line's end.
  package func writeShared(
    _ cors: CompiledCORS, origin: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter
  ) {
    if !cors.isAnyOrigin || cors.allowsCredentials { writer.append("vary: Origin\r\n") }
    guard allows(origin, cors) else { return }
    writeOrigin(cors, origin, into: &writer)
    writeExposed(cors, into: &writer)
  }

  private func writeOrigin(
    _ cors: CompiledCORS, _ origin: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter
  ) {
    writer.append("access-control-allow-origin: ")
    if cors.isAnyOrigin, !cors.allowsCredentials {
      writer.append(UInt8(ascii: "*"))
    } else {
      writer.append(origin)
    }
    writer.append("\r\n")
    if cors.allowsCredentials { writer.append("access-control-allow-credentials: true\r\n") }
  }

  private func writeExposed(_ cors: CompiledCORS, into writer: inout FixedWriter) {
    if cors.isAnyExposed, !cors.allowsCredentials {
      writer.append("access-control-expose-headers: *\r\n")
    } else {
      write("access-control-expose-headers: ", text(cors.exposed), into: &writer)
    }
  }

  private func write(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>?, into writer: inout FixedWriter) {
    guard let value, !value.isEmpty else { return }
    writer.append(name)
    writer.append(value)
    writer.append("\r\n")
  }

  /// The value of the first field of this name (lower case), if there is one.
  private func value(_ name: StaticString, _ head: borrowing MessageHead) -> UnsafeBufferPointer<UInt8>? {
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      if field.known == .other, Int(field.name.length) == name.utf8CodeUnitCount,
        equalsIgnoringCase(head.base + Int(field.name.offset), name.utf8Start, name.utf8CodeUnitCount)
      {
        return head.bytes(field.value)
      }
    }
    return nil
  }

  /// Whether scripts of this origin may share the rule's answers. An origin that is none, or `null`, is allowed only
  /// where every one is.
  func allows(_ origin: UnsafeBufferPointer<UInt8>, _ cors: CompiledCORS) -> Bool {
    if cors.isAnyOrigin { return true }
    guard let asked = ParsedOrigin(origin) else { return false }
    var index = Int(cors.origins.start)
    let end = index &+ Int(cors.origins.count)
    while index < end {
      let allowed = origins[index]
      index &+= 1
      guard allowed.isSecure == asked.isSecure, allowed.port == asked.port else { continue }
      let wanted = Int(allowed.host.length)
      if allowed.isSuffix ? asked.host.count > wanted : asked.host.count == wanted, let start = asked.host.baseAddress,
        equalsIgnoringCase(start + (asked.host.count &- wanted), bytes + Int(allowed.host.offset), wanted)
      {
        return true
      }
    }
    return false
  }
}

/// `scheme://host[:port]` as a client sends it (RFC 6454, section 6.2).
private struct ParsedOrigin {
  let isSecure: Bool
  let host: UnsafeBufferPointer<UInt8>
  let port: UInt16

  init?(_ text: UnsafeBufferPointer<UInt8>) {
    let scheme: Int
    if Self.begins(text, "https://") {
      (isSecure, scheme) = (true, 8)
    } else if Self.begins(text, "http://") {
      (isSecure, scheme) = (false, 7)
    } else {
      return nil
    }
    var end = text.count
    var index = text.count
    // An IPv6 address has colons of its own; only what follows the bracket is a port.
    while index > scheme, text[index &- 1] &- 48 < 10 { index &-= 1 }
    var port: UInt32 = isSecure ? 443 : 80
    if index > scheme, index < end, text[index &- 1] == UInt8(ascii: ":") {
      port = 0
      for place in index..<end {
        port = port &* 10 &+ UInt32(text[place] &- 48)
        guard port < 65_536 else { return nil }
      }
      end = index &- 1
    }
    guard end > scheme, port > 0 else { return nil }
    host = UnsafeBufferPointer(rebasing: text[scheme..<end])
    self.port = UInt16(truncatingIfNeeded: port)
  }

  private static func begins(_ text: UnsafeBufferPointer<UInt8>, _ scheme: StaticString) -> Bool {
    guard let start = text.baseAddress, text.count >= scheme.utf8CodeUnitCount else { return false }
    return equalsIgnoringCase(start, scheme.utf8Start, scheme.utf8CodeUnitCount)
  }
}

extension RouteTableBuilder {
  /// Adds a rule's cross-origin resource sharing. Returns its index.
  mutating func add(_ policy: CORSPolicy) -> Int32 {
    var compiled = CompiledCORS()
    let start = origins.count
    for origin in policy.origins {
      if origin.text == "*" {
        compiled.isAnyOrigin = true
      } else if let parsed = self.parse(origin.text) {
        origins.append(parsed)
      }
    }
    compiled.origins = TableSlice(start: Int32(clamping: start), count: Int32(clamping: origins.count - start))
    (compiled.methods, compiled.isAnyMethod) = list(policy.methods)
    (compiled.headers, compiled.isAnyHeader) = list(policy.headers)
    (compiled.exposed, compiled.isAnyExposed) = list(policy.exposed)
    compiled.allowsCredentials = policy.allowsCredentials
    compiled.maxAgeSeconds = policy.maxAgeSeconds
    sharing.append(compiled)
    return Int32(clamping: sharing.count - 1)
  }

  private mutating func list(_ names: [String]) -> (ByteRange, Bool) {
    (intern(names.filter { $0 != "*" }.joined(separator: ", ")), names.contains("*"))
  }

  private mutating func parse(_ text: String) -> CompiledOrigin? {
    guard let separator = text.range(of: "://") else { return nil }
    let isSecure = text[..<separator.lowerBound] == "https"
    let rest = text[separator.upperBound...].split(separator: ":", omittingEmptySubsequences: false)
    guard let host = rest.first else { return nil }
    let port = rest.count > 1 ? UInt16(rest[1]) : isSecure ? 443 : 80
    guard let port else { return nil }
    let isSuffix = host.hasPrefix("*")
    return CompiledOrigin(
      isSecure: isSecure, host: intern(String(isSuffix ? host.dropFirst() : host)), isSuffix: isSuffix, port: port)
  }
}

extension StringProtocol {
  /// Where `text` first stands, without Foundation.
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}

extension CORSPolicy {
  /// The fields of an answer that are the policy's to write: an endpoint's own go.
  static let answered = HeaderModification(remove: [
    "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers",
  ])
}
