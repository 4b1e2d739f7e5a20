/// How the requests of one session find the same endpoint again (GEP-1619).
package struct RouteSessionPersistence: FieldObject, Equatable {
  package enum Kind: String, FieldEnum {
    case cookie = "Cookie"
    case header = "Header"
  }

  package enum Lifetime: String, FieldEnum {
    /// The cookie outlives the client's own session, until `absoluteTimeout`.
    case permanent = "Permanent"
    case session = "Session"
  }

  /// Milliseconds.
  private static let longestSession: Int64 = 1000 * 3_600_000

  package var type = Kind.cookie
  package var absoluteTimeout: GatewayDuration?
  package var cookie: Cookie?
  package var header: Header?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("type", &type)
    visitor.field("absoluteTimeout", &absoluteTimeout)
    visitor.field("cookie", &cookie)
    visitor.field("header", &header)
  }

  package func check(path: String, into report: ViolationReport) {
    let isCookie = type == .cookie
    if isCookie ? cookie == nil : header == nil {
      report.add(
        .required, at: "\(path).\(isCookie ? "cookie" : "header")", "is missing; type \(type.rawValue) needs it")
    }
    if isCookie ? header != nil : cookie != nil {
      report.add(
        .forbidden, at: "\(path).\(isCookie ? "header" : "cookie")",
        "does not belong to type \(type.rawValue); remove it, or change the type")
    }
    if cookie?.lifetimeType == .permanent, absoluteTimeout == nil {
      report.add(
        .required, at: "\(path).absoluteTimeout", "is missing; a cookie of lifetimeType Permanent needs its end")
    }
    if let absoluteTimeout, !(1...Self.longestSession).contains(absoluteTimeout.milliseconds) {
      report.add(
        .invalid, at: "\(path).absoluteTimeout",
        "\(absoluteTimeout.text) is out of bounds; write a time from 1ms to 1000h, or leave it out for no end")
    }
  }

  package struct Cookie: FieldObject, Equatable {
    /// Absent: `apus-session`.
    package var name: String?
    package var path = "/"
    package var lifetimeType = Lifetime.session

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .length(1...256), .format(.token))
      visitor.field("path", &path, .length(0...1024))
      visitor.field("lifetimeType", &lifetimeType)
    }

    package func check(path: String, into report: ViolationReport) {
      // It becomes an attribute of Set-Cookie: nothing there may end it (RFC 6265, section 4.1.1).
      guard self.path.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x3B }) else { return }
      report.add(
        .invalid, at: "\(path).path", "is no path for a cookie: no spaces, no \";\", ASCII only; change it to that form"
      )
    }
  }

  package struct Header: FieldObject, Equatable {
    package var name = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...256), .format(.token))
    }
  }
}
