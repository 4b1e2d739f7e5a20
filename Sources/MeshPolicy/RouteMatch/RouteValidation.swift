package import MeshModel

extension RouteRule {
  /// The most rules that one table takes.
  package static let maxRules = 65_536
  /// The longest path value, as Gateway API has it.
  package static let maxPathLength = 1_024
  /// The longest header name or value of a rule, as Gateway API has it for values.
  package static let maxHeaderLength = 4_096
  /// The most conditions on headers, or on query parameters, and the most matches or backends of a rule.
  package static let maxListCount = 64
  /// The largest weight, as Gateway API has it.
  package static let maxWeight: UInt32 = 1_000_000

  /// Everything that is wrong with this rule, each with its path below `path` in the words of Gateway API.
  package func violations(at path: String) -> [SettingViolation] {
    var check = RuleCheck()
    check.count(matches.count, at: "\(path).matches")
    for (index, match) in matches.enumerated() { check.match(match, at: "\(path).matches[\(index)]") }
    check.headers(requestHeaders, at: "\(path).filters.requestHeaderModifier")
    check.headers(responseHeaders, at: "\(path).filters.responseHeaderModifier")
    if let rewrite {
      check.host(rewrite.hostname, at: "\(path).filters.urlRewrite.hostname")
      check.modifier(rewrite.path, matches, at: "\(path).filters.urlRewrite.path")
    }
    switch action {
    case .forward(let backends):
      check.backends(backends, at: "\(path).backendRefs")
      for (index, backend) in backends.enumerated() {
        let place = "\(path).backendRefs[\(index)].filters"
        check.host(backend.rewrite?.hostname, at: "\(place).urlRewrite.hostname")
        check.modifier(backend.rewrite?.path, matches, at: "\(place).urlRewrite.path")
        check.count(backend.mirrors.count, at: "\(place).requestMirror")
      }
    case .redirect(let redirect): check.redirect(redirect, matches, at: "\(path).filters.requestRedirect")
    case .respond(let answer): check.answer(answer, at: "\(path).filters.extensionRef")
    }
    check.count(mirrors.count, at: "\(path).filters.requestMirror")
    if let cors { check.sharing(cors, at: "\(path).filters.cors") }
    if let retry {
      if let attempts = retry.attempts, attempts > 10 {
        check.add("\(path).retry.attempts", "is \(attempts); must be 0…10")
      }
      for code in retry.codes where code < 400 || code > 599 {
        check.add("\(path).retry.codes", "has \(code); must be between 400 and 599")
      }
    }
    return check.found
  }
}

/// Gathers violations.
struct RuleCheck {
  private(set) var found: [SettingViolation] = []

  /// Fields that frame messages or say where they go, and the mark of health checks: proxies write them, rules may not.
  private static let reserved: Set<String> = [
    "connection", "content-length", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "x-apus-health",
  ]

  mutating func add(_ path: String, _ message: String) {
    found.append(SettingViolation(path: path, message: message))
  }

  mutating func count(_ count: Int, at path: String) {
    if count > RouteRule.maxListCount {
      add(path, "has \(count) items; at most \(RouteRule.maxListCount), divide the rule")
    }
  }

  mutating func match(_ match: RouteMatch, at path: String) {
    switch match.path {
    case .exact(let text), .prefix(let text):
      if !text.hasPrefix("/") { add("\(path).path.value", "must begin with a slash") }
      if text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F || $0 == 0x3F || $0 == 0x23 }) {
        add("\(path).path.value", "must be a path alone, with no query, fragment, space or control character")
      }
      length(text, RouteRule.maxPathLength, at: "\(path).path.value")
    case .regex(let pattern): expression(pattern, at: "\(path).path.value")
    }
    if match.method == .other { add("\(path).method", "is not a method that can be matched on") }
    count(match.headers.count, at: "\(path).headers")
    count(match.query.count, at: "\(path).queryParams")
    var seen: Set<String> = []
    for (index, header) in match.headers.enumerated() {
      let place = "\(path).headers[\(index)]"
      if header.name != ":authority" { name(header.name, at: place) }
      if !seen.insert(header.name.lowercased()).inserted { add("\(place).name", "occurs twice; names must differ") }
      value(header.value, at: place)
    }
    seen = []
    for (index, parameter) in match.query.enumerated() {
      let place = "\(path).queryParams[\(index)]"
      if parameter.name.isEmpty { add("\(place).name", "is empty") }
      length(parameter.name, RouteRule.maxHeaderLength, at: "\(place).name")
      if !seen.insert(parameter.name).inserted { add("\(place).name", "occurs twice; names must differ") }
      value(parameter.value, at: place)
    }
  }

  private mutating func value(_ match: TextMatch, at path: String) {
    switch match {
    case .exact(let text): length(text, RouteRule.maxHeaderLength, at: "\(path).value")
    case .regex(let pattern): expression(pattern, at: "\(path).value")
    }
  }

  private mutating func expression(_ pattern: String, at path: String) {
    length(pattern, RouteRule.maxPathLength, at: path)
    if pattern.utf8.count > RouteRule.maxPathLength { return }
    do throws(RegexError) {
      _ = try RegexProgram(pattern)
    } catch {
      add(path, "is a regular expression that \(error.message)")
    }
  }

  private mutating func length(_ text: String, _ limit: Int, at path: String) {
    if text.utf8.count > limit { add(path, "has \(text.utf8.count) bytes; at most \(limit)") }
  }

  private mutating func name(_ name: String, at path: String) {
    if name.isEmpty || !name.utf8.allSatisfy(Self.isTokenByte) {
      add("\(path).name", "is not a header name: letters, digits and !#$%&'*+-.^_`|~ only")
    }
    length(name, 256, at: "\(path).name")
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  mutating func headers(_ change: HeaderModification, at path: String) {
    var seen: Set<String> = []
    let parts = [
      ("set", change.set), ("add", change.add), ("remove", change.remove.map { HeaderValue(name: $0, value: "") }),
    ]
    for (part, fields) in parts {
      count(fields.count, at: "\(path).\(part)")
      for (index, field) in fields.enumerated() {
        let place = "\(path).\(part)[\(index)]"
        name(field.name, at: place)
        let lower = field.name.lowercased()
        if Self.reserved.contains(lower) {
          add("\(place).name", "is \(lower), which the proxy writes itself; to change the host use a urlRewrite")
        }
        if !seen.insert(lower).inserted { add("\(place).name", "is \(lower), which another change names already") }
        if field.value.utf8.contains(where: { ($0 < 0x20 && $0 != 9) || $0 == 0x7F }) {
          add("\(place).value", "has a control character")
        }
        length(field.value, RouteRule.maxHeaderLength, at: "\(place).value")
      }
    }
  }

  mutating func host(_ host: String?, at path: String) {
    guard let host else { return }
    let isValid = host.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (97...122).contains(byte) || byte == 45 || byte == 46
    }
    if host.isEmpty || host.utf8.count > 253 || !isValid {
      add(path, "is not a host name: lower-case letters, digits, hyphens and dots, without a port")
    }
  }

  mutating func modifier(_ modifier: PathModifier?, _ matches: [RouteMatch], at path: String) {
    switch modifier {
    case nil: return
    case .replaceFull(let text), .replacePrefix(let text):
      if text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x3F || $0 == 0x23 }) {
        add(path, "must be a path alone, percent-encoded, with no query or fragment")
      }
      if !text.isEmpty, !text.hasPrefix("/") { add(path, "must begin with a slash") }
      length(text, RouteRule.maxPathLength, at: path)
    }
    if case .replacePrefix = modifier {
      let onlyPrefixes = matches.allSatisfy { if case .prefix = $0.path { true } else { false } }
      if !onlyPrefixes { add(path, "replaces a prefix, so every match of the rule must have type PathPrefix") }
    }
  }

  mutating func backends(_ backends: [WeightedBackend], at path: String) {
    count(backends.count, at: path)
    for (index, backend) in backends.enumerated() {
      if backend.weight > RouteRule.maxWeight {
        add("\(path)[\(index)].weight", "is \(backend.weight); at most \(RouteRule.maxWeight)")
      }
      headers(backend.requestHeaders, at: "\(path)[\(index)].filters.requestHeaderModifier")
      headers(backend.responseHeaders, at: "\(path)[\(index)].filters.responseHeaderModifier")
    }
  }

  mutating func redirect(_ redirect: RequestRedirect, _ matches: [RouteMatch], at path: String) {
    if let scheme = redirect.scheme, scheme != "http", scheme != "https" {
      add("\(path).scheme", "is \(scheme); must be http or https")
    }
    if ![301, 302, 303, 307, 308].contains(redirect.status) {
      add("\(path).statusCode", "is \(redirect.status); must be 301, 302, 303, 307 or 308")
    }
    if redirect.port == 0 { add("\(path).port", "must be between 1 and 65535") }
    host(redirect.hostname, at: "\(path).hostname")
    modifier(redirect.path, matches, at: "\(path).path")
  }

  /// Every text of it becomes part of an answer's head.
  mutating func sharing(_ cors: CORSPolicy, at path: String) {
    let lists = [
      ("allowOrigins", cors.origins.map(\.text)), ("allowMethods", cors.methods), ("allowHeaders", cors.headers),
      ("exposeHeaders", cors.exposed),
    ]
    for (part, texts) in lists {
      count(texts.count, at: "\(path).\(part)")
      for (index, text) in texts.enumerated() {
        let isOrigin = part == "allowOrigins"
        if text.isEmpty || !text.utf8.allSatisfy({ isOrigin ? $0 > 0x20 && $0 < 0x7F : Self.isTokenByte($0) }) {
          add("\(path).\(part)[\(index)]", "has a character that cannot stand there")
        }
        length(text, 256, at: "\(path).\(part)[\(index)]")
      }
    }
  }

  mutating func answer(_ answer: DirectAnswer, at path: String) {
    if answer.status < 200 || answer.status > 599 { add("\(path).status", "is \(answer.status); must be 200…599") }
    if answer.body.count > 65_536 { add("\(path).body", "has \(answer.body.count) bytes; at most 65536") }
    if answer.contentType.utf8.contains(where: { $0 < 0x20 || $0 >= 0x7F }) {
      add("\(path).contentType", "has a character that a header cannot hold")
    }
  }
}
