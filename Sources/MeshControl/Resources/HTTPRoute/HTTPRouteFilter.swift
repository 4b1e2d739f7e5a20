/// One thing that a rule or a backend does to requests or responses.
package struct HTTPRouteFilter: FieldObject, Equatable {
  package enum Kind: String, FieldEnum {
    case requestHeaderModifier = "RequestHeaderModifier"
    case responseHeaderModifier = "ResponseHeaderModifier"
    case requestMirror = "RequestMirror"
    case requestRedirect = "RequestRedirect"
    case urlRewrite = "URLRewrite"
    case extensionRef = "ExtensionRef"
    case cors = "CORS"
    case externalAuth = "ExternalAuth"

    /// The field that says more about a filter of this type.
    var field: String {
      switch self {
      case .requestHeaderModifier: "requestHeaderModifier"
      case .responseHeaderModifier: "responseHeaderModifier"
      case .requestMirror: "requestMirror"
      case .requestRedirect: "requestRedirect"
      case .urlRewrite: "urlRewrite"
      case .extensionRef: "extensionRef"
      case .cors: "cors"
      case .externalAuth: "externalAuth"
      }
    }

    /// Whether the data plane can do it yet.
    var isSupported: Bool {
      switch self {
      case .requestHeaderModifier, .responseHeaderModifier, .requestRedirect, .urlRewrite, .extensionRef,
        .requestMirror,
        .cors:
        true
      case .externalAuth: false
      }
    }
  }

  package var type = Kind.requestHeaderModifier
  package var requestHeaderModifier: HeaderModifier?
  package var responseHeaderModifier: HeaderModifier?
  package var requestMirror: RequestMirror?
  package var requestRedirect: RequestRedirect?
  package var urlRewrite: URLRewrite?
  package var extensionRef: LocalObjectReference?
  package var cors: CORSFilter?
  package var externalAuth: Value?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("type", &type, .required)
    visitor.field("requestHeaderModifier", &requestHeaderModifier)
    visitor.field("responseHeaderModifier", &responseHeaderModifier)
    visitor.field("requestMirror", &requestMirror)
    visitor.field("requestRedirect", &requestRedirect)
    visitor.field("urlRewrite", &urlRewrite)
    visitor.field("extensionRef", &extensionRef)
    visitor.field("cors", &cors)
    visitor.field("externalAuth", &externalAuth)
  }

  package func check(path: String, into report: ViolationReport) {
    let given: [(kind: Kind, isThere: Bool)] = [
      (.requestHeaderModifier, requestHeaderModifier != nil), (.responseHeaderModifier, responseHeaderModifier != nil),
      (.requestMirror, requestMirror != nil), (.requestRedirect, requestRedirect != nil),
      (.urlRewrite, urlRewrite != nil), (.extensionRef, extensionRef != nil), (.cors, cors != nil),
      (.externalAuth, externalAuth != nil),
    ]
    for entry in given {
      if entry.kind == type, !entry.isThere {
        report.add(.required, at: "\(path).\(type.field)", "is missing; a filter of type \(type.rawValue) needs it")
      } else if entry.kind != type, entry.isThere {
        report.add(
          .forbidden, at: "\(path).\(entry.kind.field)",
          "does not belong to a filter of type \(type.rawValue); change the type to \(entry.kind.rawValue) or remove it"
        )
      }
    }
  }

  /// Tells what is wrong with a list of filters as a whole.
  static func checkTogether(_ filters: [HTTPRouteFilter], path: String, into report: ViolationReport) {
    let kinds = filters.map(\.type)
    if kinds.contains(.requestRedirect), kinds.contains(.urlRewrite) {
      report.add(.forbidden, at: path, "RequestRedirect and URLRewrite exclude each other; remove one of them")
    }
    let once: Set<Kind> = [.cors, .requestHeaderModifier, .responseHeaderModifier, .requestRedirect, .urlRewrite]
    for (index, kind) in kinds.enumerated() where once.contains(kind) && kinds[..<index].contains(kind) {
      report.add(
        .duplicate, at: "\(path)[\(index)].type", "\(kind.rawValue) is there already; put both into one filter")
    }
  }
}

/// Changes to headers.
package struct HeaderModifier: FieldObject, Equatable {
  /// Replaces what is there.
  package var set: [Header] = []
  /// Adds to what is there.
  package var add: [Header] = []
  package var remove: [String] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("set", &set, .items(0...16), .uniqueIgnoringCase("name"))
    visitor.field("add", &add, .items(0...16), .uniqueIgnoringCase("name"))
    visitor.field("remove", &remove, .items(0...16), .unique, .each(.length(1...256)), .each(.format(.token)))
  }

  /// Fields that frame messages or say where they go, and the mark of health checks: proxies write them, rules may not.
  private static let reserved: Set<String> = [
    "connection", "content-length", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "x-apus-health",
  ]

  package func check(path: String, into report: ViolationReport) {
    var places: [String: String] = [:]
    let named = [("set", set.map(\.name), ".name"), ("add", add.map(\.name), ".name"), ("remove", remove, "")]
    for (part, names, suffix) in named {
      for (index, name) in names.enumerated() {
        let here = "\(path).\(part)[\(index)]\(suffix)"
        let folded = name.lowercased()
        if Self.reserved.contains(folded) {
          report.add(
            .forbidden, at: here,
            "\(quoted(name)) is written by the proxies themselves; remove it (a URLRewrite changes the host)")
        }
        if let first = places[folded], !first.hasPrefix("\(path).\(part)[") {
          report.add(
            .duplicate, at: here, "\(quoted(name)) is changed already, at \(first); keep one of the two changes")
        } else {
          places[folded] = here
        }
      }
    }
  }

  package struct Header: FieldObject, Equatable {
    package var name = ""
    package var value = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...256), .format(.token))
      visitor.field("value", &value, .required, .length(1...4096), .format(.headerValue))
    }
  }
}

/// How a redirect or rewrite changes the path.
package struct PathModifier: FieldObject, Equatable {
  package enum Kind: String, FieldEnum {
    case replaceFullPath = "ReplaceFullPath"
    case replacePrefixMatch = "ReplacePrefixMatch"
  }

  package var type = Kind.replaceFullPath
  package var replaceFullPath: String?
  package var replacePrefixMatch: String?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("type", &type, .required)
    visitor.field("replaceFullPath", &replaceFullPath, .length(0...1024))
    visitor.field("replacePrefixMatch", &replacePrefixMatch, .length(0...1024))
  }

  package func check(path: String, into report: ViolationReport) {
    let isFull = type == .replaceFullPath
    let (due, other) = isFull ? ("replaceFullPath", "replacePrefixMatch") : ("replacePrefixMatch", "replaceFullPath")
    if (isFull ? replaceFullPath : replacePrefixMatch) == nil {
      report.add(.required, at: "\(path).\(due)", "is missing; type \(type.rawValue) needs it")
    }
    if (isFull ? replacePrefixMatch : replaceFullPath) != nil {
      report.add(.forbidden, at: "\(path).\(other)", "does not belong to type \(type.rawValue); remove it")
    }
    for (name, text) in [("replaceFullPath", replaceFullPath), ("replacePrefixMatch", replacePrefixMatch)] {
      // The text becomes part of a request line: nothing there may end it.
      guard let text else { continue }
      if text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x3F || $0 == 0x23 }) {
        report.add(
          .invalid, at: "\(path).\(name)",
          "is not a path alone: no spaces, control characters, \"?\", \"#\" or letters that are not ASCII; write them "
            + "percent-encoded")
      }
      if !text.isEmpty, !text.hasPrefix("/") {
        report.add(.invalid, at: "\(path).\(name)", "\(quoted(text)) is not absolute; begin it with \"/\"")
      }
    }
  }
}

/// Sends the client elsewhere; parts that are absent stay as they were in the request.
package struct RequestRedirect: FieldObject, Equatable {
  package enum Scheme: String, FieldEnum {
    case http, https
  }

  package var scheme: Scheme?
  package var hostname: String?
  package var path: PathModifier?
  package var port: Int?
  package var statusCode = 302

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("scheme", &scheme)
    visitor.field("hostname", &hostname, .length(1...253), .format(.dnsSubdomain))
    visitor.field("path", &path)
    visitor.field("port", &port, .range(1...65_535))
    visitor.field("statusCode", &statusCode)
  }

  package func check(path: String, into report: ViolationReport) {
    guard ![301, 302, 303, 307, 308].contains(statusCode) else { return }
    report.add(
      .notSupported, at: "\(path).statusCode",
      "\(statusCode) is no redirect that can be given here; use one of 301, 302, 303, 307, 308")
  }
}

/// Changes the target before the request is sent on.
package struct URLRewrite: FieldObject, Equatable {
  package var hostname: String?
  package var path: PathModifier?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("hostname", &hostname, .length(1...253), .format(.dnsSubdomain))
    visitor.field("path", &path)
  }
}

/// An object of the route's own namespace.
package struct LocalObjectReference: FieldObject, Equatable {
  package var group = ""
  package var kind = ""
  package var name = ""

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("group", &group, .required, .length(0...253), .format(.apiGroup))
    visitor.field("kind", &kind, .required, .format(.kindName))
    visitor.field("name", &name, .required, .length(1...253))
  }
}
