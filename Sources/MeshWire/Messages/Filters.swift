/// What a rule or a backend does to requests and responses. At most one of redirect, rewrite, direct response.
package struct FilterConfig: WireMessage {
  package var requestHeaders: HeaderModifierConfig?
  package var responseHeaders: HeaderModifierConfig?
  package var redirect: RedirectConfig?
  package var rewrite: RewriteConfig?
  package var directResponse: DirectResponseConfig?
  package var mirrors: [MirrorConfig] = []
  package var cors: CORSConfig?

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "requestHeaders", &requestHeaders)
    try c.field(2, "responseHeaders", &responseHeaders)
    try c.field(3, "redirect", &redirect)
    try c.field(4, "rewrite", &rewrite)
    try c.field(5, "directResponse", &directResponse)
    try c.field(60, "mirrors", &mirrors)
    try c.field(61, "cors", &cors)
  }
}

/// A copy of requests for another service.
package struct MirrorConfig: WireMessage {
  package var namespace = ""
  package var service = ""
  package var port: UInt32 = 0
  /// The share that is copied; a denominator of 0 means 1.
  package var numerator: UInt32 = 0
  package var denominator: UInt32 = 0
  /// Why the backend cannot work (a condition reason such as `BackendNotFound`); nothing is copied then.
  package var invalidReason = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "namespace", &namespace)
    try c.field(2, "service", &service)
    try c.field(3, "port", &port)
    try c.field(4, "numerator", &numerator)
    try c.field(5, "denominator", &denominator)
    try c.field(6, "invalidReason", &invalidReason)
  }
}

/// Cross-origin resource sharing.
package struct CORSConfig: WireMessage {
  /// `scheme://host[:port]` with `*` for labels on the left, or `*` alone.
  package var allowOrigins: [String] = []
  package var allowMethods: [String] = []
  package var allowHeaders: [String] = []
  package var exposeHeaders: [String] = []
  package var allowCredentials = false
  /// 0: the default of 5.
  package var maxAgeSeconds: UInt32 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "allowOrigins", &allowOrigins)
    try c.field(2, "allowMethods", &allowMethods)
    try c.field(3, "allowHeaders", &allowHeaders)
    try c.field(4, "exposeHeaders", &exposeHeaders)
    try c.field(5, "allowCredentials", &allowCredentials)
    try c.field(6, "maxAgeSeconds", &maxAgeSeconds)
  }
}

/// A header's name and value.
package struct HeaderValue: WireMessage {
  package var name = ""
  package var value = ""

  package init() {}
  package init(name: String, value: String) {
    self.name = name
    self.value = value
  }
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "name", &name)
    try c.field(2, "value", &value)
  }
}

/// Changes to headers: `set` replaces, `add` appends, `remove` takes away; applied in that order.
package struct HeaderModifierConfig: WireMessage {
  package var set: [HeaderValue] = []
  package var add: [HeaderValue] = []
  package var remove: [String] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "set", &set)
    try c.field(2, "add", &add)
    try c.field(3, "remove", &remove)
  }
}

/// How a path is replaced.
package enum PathReplacement: UInt32, WireEnum {
  /// The path stays.
  case none = 0
  case full = 1
  /// The prefix that matched is replaced.
  case prefixMatch = 2
  package static var unset: Self { .none }
  package var wireName: String {
    switch self {
    case .none: "none"
    case .full: "full"
    case .prefixMatch: "prefixMatch"
    }
  }
}

/// An answer that sends the client elsewhere. Empty parts stay as they were in the request.
package struct RedirectConfig: WireMessage {
  package var scheme = ""
  package var hostname = ""
  package var port: UInt32?
  package var pathReplacement = PathReplacement.none
  package var path = ""
  /// 301, 302, 303, 307 or 308.
  package var statusCode: UInt32 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "scheme", &scheme)
    try c.field(2, "hostname", &hostname)
    try c.field(3, "port", &port)
    try c.field(4, "pathReplacement", &pathReplacement)
    try c.field(5, "path", &path)
    try c.field(6, "statusCode", &statusCode)
  }
}

/// Changes the target before the request is forwarded.
package struct RewriteConfig: WireMessage {
  package var hostname = ""
  package var pathReplacement = PathReplacement.none
  package var path = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "hostname", &hostname)
    try c.field(2, "pathReplacement", &pathReplacement)
    try c.field(3, "path", &path)
  }
}

/// An answer that the proxy gives itself.
package struct DirectResponseConfig: WireMessage {
  package var status: UInt32 = 0
  package var body = ""
  package var contentType = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "status", &status)
    try c.field(2, "body", &body)
    try c.field(3, "contentType", &contentType)
  }
}
