/// How text is compared with what a request carries.
package enum TextMatch: Hashable, Sendable {
  /// Byte for byte.
  case exact(String)
  /// The whole text matches this regular expression (RE2 syntax; see `RegexProgram` for what is left out).
  case regex(String)
}

/// What the path must be (Gateway API `HTTPPathMatch`). Values are in the canonical form that the codec gives paths.
package enum PathMatch: Hashable, Sendable {
  /// Byte for byte, a final slash included.
  case exact(String)
  /// Element by element: `/abc` and `/abc/` match `/abc`, `/abc/` and `/abc/def`, and not `/abcd`.
  case prefix(String)
  /// The whole path matches this regular expression.
  case regex(String)

  /// What Gateway API takes where nothing is said: every path.
  package static let any = PathMatch.prefix("/")
}

/// A header field, or query parameter, that must be there with such a value.
package struct NamedMatch: Hashable, Sendable {
  /// Header names are compared without regard to case, names of query parameters byte for byte.
  package var name: String
  package var value: TextMatch

  package init(name: String, value: TextMatch) {
    self.name = name
    self.value = value
  }
}

/// One alternative of a rule (Gateway API `HTTPRouteMatch`): all that is named must hold.
package struct RouteMatch: Hashable, Sendable {
  package var path: PathMatch
  package var headers: [NamedMatch]
  package var query: [NamedMatch]
  /// Nil for every method. `.other` is not a thing to match on.
  package var method: Method?
  /// Set for matches of a GRPCRoute, whose order is another one.
  package var grpc: GRPCRank?

  package init(
    path: PathMatch = .any, headers: [NamedMatch] = [], query: [NamedMatch] = [], method: Method? = nil,
    grpc: GRPCRank? = nil
  ) {
    self.path = path
    self.grpc = grpc
    self.headers = headers
    self.query = query
    self.method = method
  }
}

/// A header name with a value to set or add.
package struct HeaderValue: Hashable, Sendable {
  package var name: String
  package var value: String

  package init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// Changes to a header block (Gateway API `HTTPHeaderFilter`): first `remove`, then `set`, then `add`.
package struct HeaderModification: Hashable, Sendable {
  /// Replaces all fields of the name.
  package var set: [HeaderValue]
  /// Appended after the fields of the name that are there.
  package var add: [HeaderValue]
  package var remove: [String]

  package init(set: [HeaderValue] = [], add: [HeaderValue] = [], remove: [String] = []) {
    self.set = set
    self.add = add
    self.remove = remove
  }
}

/// What becomes of the path in a rewrite or redirect (Gateway API `HTTPPathModifier`).
package enum PathModifier: Hashable, Sendable {
  /// The whole path is replaced; the query stays.
  case replaceFull(String)
  /// The part that the rule's path prefix matched is replaced.
  case replacePrefix(String)
}

/// Changes to where a request goes (Gateway API `HTTPURLRewriteFilter`).
package struct URLRewrite: Hashable, Sendable {
  /// The new Host, nil to leave it.
  package var hostname: String?
  package var path: PathModifier?

  package init(hostname: String? = nil, path: PathModifier? = nil) {
    self.hostname = hostname
    self.path = path
  }
}

/// An answer that sends the client elsewhere (Gateway API `HTTPRequestRedirectFilter`).
package struct RequestRedirect: Hashable, Sendable {
  /// `http` or `https`; nil for the scheme of the request.
  package var scheme: String?
  /// Nil for the host of the request.
  package var hostname: String?
  /// Nil for the scheme's own port where `scheme` is set, else for the port that the request came to.
  package var port: UInt16?
  package var path: PathModifier?
  /// 301, 302, 303, 307 or 308. Default 302.
  package var status: UInt16

  package init(
    scheme: String? = nil, hostname: String? = nil, port: UInt16? = nil, path: PathModifier? = nil, status: UInt16 = 302
  ) {
    self.scheme = scheme
    self.hostname = hostname
    self.port = port
    self.path = path
    self.status = status
  }
}

/// An answer that the mesh gives itself.
package struct DirectAnswer: Hashable, Sendable {
  /// 200…599.
  package var status: UInt16
  package var contentType: String
  package var body: [UInt8]

  package init(status: UInt16, contentType: String = "text/plain; charset=utf-8", body: [UInt8] = []) {
    self.status = status
    self.contentType = contentType
    self.body = body
  }
}

/// A service's port, as routes name it.
package struct BackendReference: Hashable, Sendable {
  package var namespace: String
  package var name: String
  package var port: UInt16

  package init(namespace: String, name: String, port: UInt16) {
    self.namespace = namespace
    self.name = name
    self.port = port
  }
}

/// One of the backends among which a rule divides its requests.
package struct WeightedBackend: Hashable, Sendable {
  package var reference: BackendReference
  /// In proportion to the sum of all; 0 for none. At most 1,000,000. Default 1.
  package var weight: UInt32
  /// Applied after the rule's own changes, to requests of this backend.
  package var requestHeaders: HeaderModification
  /// Applied before the rule's own changes, to answers of this backend.
  package var responseHeaders: HeaderModification
  /// Host and path of requests of this backend; what it leaves out is the rule's.
  package var rewrite: URLRewrite?
  /// Copies of requests of this backend, besides the rule's.
  package var mirrors: [Mirror] = []

  package init(
    _ reference: BackendReference, weight: UInt32 = 1, requestHeaders: HeaderModification = .init(),
    responseHeaders: HeaderModification = .init()
  ) {
    self.reference = reference
    self.weight = weight
    self.requestHeaders = requestHeaders
    self.responseHeaders = responseHeaders
  }
}

/// What becomes of a request that a rule matched.
package enum RouteAction: Hashable, Sendable {
  /// It goes to one of these, by weight.
  case forward([WeightedBackend])
  case redirect(RequestRedirect)
  case respond(DirectAnswer)
}

/// What a route says about retries (Gateway API `HTTPRouteRetry`); what it leaves out is the TrafficPolicy's.
package struct RetryOverride: Hashable, Sendable {
  /// Attempts after the first, 0…10.
  package var attempts: UInt8?
  /// Statuses to retry on, 400…599.
  package var codes: [UInt16]
  package var backoff: Duration?
  /// The longest back-off.
  package var maxBackoff: Duration?
  /// On what is tried again; nil: as before.
  package var conditions: RetryConditions?
  package var perTryTimeout = TimeLimit.inherited
  package var hedgeDelay = TimeLimit.inherited

  package init(attempts: UInt8? = nil, codes: [UInt16] = [], backoff: Duration? = nil) {
    self.attempts = attempts
    self.codes = codes
    self.backoff = backoff
  }

  /// `settings` with what this override says.
  package func applied(to settings: RetrySettings) -> RetrySettings {
    var result = settings
    if let attempts { result.retries = attempts }
    if !codes.isEmpty {
      result.statuses = StatusSet(codes)
      result.conditions.insert(.status)
    }
    if let backoff {
      result.baseBackoffNanoseconds = min(max(backoff.saturatingNanoseconds, 1_000_000), 60_000_000_000)
      result.maxBackoffNanoseconds = max(result.maxBackoffNanoseconds, result.baseBackoffNanoseconds)
    }
    if let maxBackoff {
      result.maxBackoffNanoseconds = min(
        max(maxBackoff.saturatingNanoseconds, result.baseBackoffNanoseconds), 60_000_000_000)
    }
    if let conditions { result.conditions = conditions }
    result.perTryTimeout = perTryTimeout.or(result.perTryTimeout)
    result.hedgeDelay = hedgeDelay.or(result.hedgeDelay)
    return result
  }

  /// What `override` says and, where it says nothing, what this one does.
  package func merged(under override: RetryOverride?) -> RetryOverride {
    guard var result = override else { return self }
    if result.attempts == nil { result.attempts = attempts }
    if result.codes.isEmpty { result.codes = codes }
    if result.backoff == nil { result.backoff = backoff }
    if result.maxBackoff == nil { result.maxBackoff = maxBackoff }
    if result.conditions == nil { result.conditions = conditions }
    result.perTryTimeout = result.perTryTimeout.or(perTryTimeout)
    result.hedgeDelay = result.hedgeDelay.or(hedgeDelay)
    return result
  }
}

/// The object of configuration that a rule comes from: named in answers, metrics and logs, and decides ties.
package struct RouteOrigin: Hashable, Sendable {
  package var namespace: String
  package var name: String
  /// When the route was made, in seconds since 1970: older routes go first.
  package var createdSeconds: Int64
  /// The rule's place within its route, from 0.
  package var ruleIndex: Int
  /// The rule's own name, if it has one.
  package var ruleName: String?

  package init(namespace: String, name: String, createdSeconds: Int64, ruleIndex: Int, ruleName: String? = nil) {
    self.namespace = namespace
    self.name = name
    self.createdSeconds = createdSeconds
    self.ruleIndex = ruleIndex
    self.ruleName = ruleName
  }

  /// The label `route_name`: `namespace/name/rule`, where the rule is its name or its index.
  package var label: String { "\(namespace)/\(name)/\(ruleName ?? String(ruleIndex))" }
}

/// One rule of a route (Gateway API `HTTPRouteRule`).
package struct RouteRule: Hashable, Sendable {
  package var origin: RouteOrigin
  /// Any of them must match; none at all matches every request.
  package var matches: [RouteMatch]
  package var action: RouteAction
  package var requestHeaders = HeaderModification()
  package var responseHeaders = HeaderModification()
  package var rewrite: URLRewrite?
  /// `timeouts.request`.
  package var requestTimeout = TimeLimit.inherited
  /// `timeouts.backendRequest`.
  package var backendRequestTimeout = TimeLimit.inherited
  package var retry: RetryOverride?
  /// Copies of the requests, each for itself. Only for rules that forward.
  package var mirrors: [Mirror] = []
  /// Nil: the rule has nothing to do with origins.
  package var cors: CORSPolicy?
  /// Nil: every request is balanced by itself.
  package var sessionPersistence: SessionPersistence?
  /// Whether the rule is a GRPCRoute's.
  package var isGRPC = false

  package init(origin: RouteOrigin, matches: [RouteMatch] = [], action: RouteAction) {
    self.origin = origin
    self.matches = matches
    self.action = action
  }
}
