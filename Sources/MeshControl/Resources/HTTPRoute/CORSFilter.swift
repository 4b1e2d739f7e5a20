/// Which scripts of other origins may share the answers (Gateway API `HTTPCORSFilter`). The mesh answers their preflight
/// requests itself.
package struct CORSFilter: FieldObject, Equatable {
  package var allowOrigins: [String] = []
  package var allowCredentials: Bool?
  package var allowMethods: [Method] = []
  package var allowHeaders: [String] = []
  package var exposeHeaders: [String] = []
  /// Seconds.
  package var maxAge = 5

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("allowOrigins", &allowOrigins, .items(0...64), .unique, .each(.length(1...253)))
    visitor.field("allowCredentials", &allowCredentials)
    visitor.field("allowMethods", &allowMethods, .items(0...9), .unique)
    visitor.field(
      "allowHeaders", &allowHeaders, .items(0...64), .unique, .each(.length(1...256)), .each(.format(.token)))
    visitor.field(
      "exposeHeaders", &exposeHeaders, .items(0...64), .unique, .each(.length(1...256)), .each(.format(.token)))
    visitor.field("maxAge", &maxAge, .range(1...2_147_483_647))
  }

  package func check(path: String, into report: ViolationReport) {
    for (index, origin) in allowOrigins.enumerated() where !Self.isOrigin(origin) {
      report.add(
        .invalid, at: "\(path).allowOrigins[\(index)]",
        "\(quoted(origin)) is no origin; write it like https://shop.example.org, https://*.example.org or \"*\"")
    }
    let lists = [
      ("allowOrigins", allowOrigins), ("allowMethods", allowMethods.map(\.rawValue)), ("allowHeaders", allowHeaders),
    ]
    for (name, list) in lists where list.count > 1 && list.contains("*") {
      report.add(.forbidden, at: "\(path).\(name)", "\"*\" means everything; leave the others out, or \"*\"")
    }
  }

  /// `*`, or `http[s]://HOST[:PORT]` where the host may be `*` or begin with `*.`.
  private static func isOrigin(_ text: String) -> Bool {
    if text == "*" { return true }
    guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return false }
    let parts = text.dropFirst(scheme.count).split(separator: ":", omittingEmptySubsequences: false)
    guard let host = parts.first, parts.count <= 2 else { return false }
    if parts.count == 2 {
      guard let port = UInt16(parts[1]), port > 0, parts[1].utf8.allSatisfy(TextFormat.isDigit) else { return false }
    }
    if host == "*" { return true }
    let labels = (host.hasPrefix("*.") ? host.dropFirst(2) : host).split(
      separator: ".", omittingEmptySubsequences: false)
    return labels.allSatisfy { label in
      !label.isEmpty && label.utf8.allSatisfy { TextFormat.isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  package enum Method: String, FieldEnum {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
    case connect = "CONNECT"
    case options = "OPTIONS"
    case trace = "TRACE"
    case patch = "PATCH"
    case all = "*"
  }
}
