package import MeshModel

/// Rules that cannot be compiled, with everything that is wrong with them.
package struct RouteTableError: Error, Equatable, Sendable {
  package var violations: [SettingViolation]
}

/// The rules of one service's port, compiled for matching: an index by exact path, the regular expressions in order, and
/// a tree of path elements for prefixes. Owns the memory that its `view` reads.
package final class RouteTable: Sendable {
  /// What the traffic path reads; valid while this object lives.
  package let view: RouteTableView

  private let store: FrozenStore
  private let programs: [RegexProgram]

  /// Compiles `rules`.
  ///
  /// - Parameters:
  ///   - policy: what holds where a rule says nothing on timeouts and retries.
  ///   - resolve: what a backend's name stands for.
  /// - Throws: every violation of `RouteRule.violations(at:)` in any of the rules.
  package init(
    _ rules: [RouteRule], policy: TrafficPolicy = TrafficPolicy(), resolve: (BackendReference) -> BackendResolution
  ) throws(RouteTableError) {
    var violations: [SettingViolation] = []
    for (index, rule) in rules.enumerated() { violations += rule.violations(at: "rules[\(index)]") }
    if rules.count > RouteRule.maxRules {
      violations.append(.init(path: "rules", message: "are \(rules.count); at most \(RouteRule.maxRules) fit a table"))
    }
    if !violations.isEmpty { throw RouteTableError(violations: violations) }
    var builder = RouteTableBuilder()
    for (index, rule) in rules.enumerated() {
      builder.add(rule, at: index, policy: policy, resolve: resolve)
    }
    store = FrozenStore()
    view = builder.finish(in: store)
    programs = builder.programs
  }
}

/// One alternative of one rule with what decides its place.
struct RankedMatch {
  var rule: Int
  var matchIndex: Int
  var match: RouteMatch
  var origin: RouteOrigin

  /// Whether this goes before `other`, where both have the same kind of path (see `RouteTableView.match`).
  func precedes(_ other: RankedMatch) -> Bool {
    if let rank = match.grpc, let otherRank = other.match.grpc, rank != otherRank { return rank.precedes(otherRank) }
    if match.grpc == nil || other.match.grpc == nil, pathLength != other.pathLength {
      return pathLength > other.pathLength
    }
    if (match.method != nil) != (other.match.method != nil) { return match.method != nil }
    if match.headers.count != other.match.headers.count { return match.headers.count > other.match.headers.count }
    if match.query.count != other.match.query.count { return match.query.count > other.match.query.count }
    if origin.createdSeconds != other.origin.createdSeconds {
      return origin.createdSeconds < other.origin.createdSeconds
    }
    let names = (origin.namespace + "/" + origin.name, other.origin.namespace + "/" + other.origin.name)
    if names.0 != names.1 { return names.0.utf8.lexicographicallyPrecedes(names.1.utf8) }
    if origin.ruleIndex != other.origin.ruleIndex { return origin.ruleIndex < other.origin.ruleIndex }
    if rule != other.rule { return rule < other.rule }
    return matchIndex < other.matchIndex
  }

  private var pathLength: Int {
    switch match.path {
    case .exact(let text), .prefix(let text), .regex(let text): text.utf8.count
    }
  }
}

/// Gathers what a table consists of.
struct RouteTableBuilder {
  private(set) var programs: [RegexProgram] = []
  var bytes: [UInt8] = []
  var edits: [CompiledEdit] = []
  var droppedNames: [ByteRange] = []
  var fields: [CompiledField] = []
  var origins: [CompiledOrigin] = []
  var sharing: [CompiledCORS] = []
  private var mirrors: [CompiledMirror] = []
  private var rules: [CompiledRule] = []
  private var backends: [CompiledBackend] = []
  private var matches: [RankedMatch] = []
  private(set) var entries: [RouteEntry] = []
  private(set) var conditions: [NamedCondition] = []
  var headerIndexes: [HeaderIndex] = []
  var headerGroups: [HeaderGroup] = []
  var headerSlots: [HeaderSlot] = []
  var postings: [Int32] = []
  private var programNumbers: [String: Int32] = [:]
  private var texts: [String: ByteRange] = [:]
  private var places: [String: Int8] = [:]

  /// The range of `text`, which is stored once.
  mutating func intern(_ text: String) -> ByteRange {
    if text.isEmpty { return .empty }
    if let known = texts[text] { return known }
    let range = ByteRange(offset: UInt32(clamping: bytes.count), length: UInt32(clamping: text.utf8.count))
    bytes += text.utf8
    texts[text] = range
    return range
  }

  mutating func add(
    _ rule: RouteRule, at index: Int, policy: TrafficPolicy, resolve: (BackendReference) -> BackendResolution
  ) {
    var compiled = CompiledRule()
    compiled.label = intern(rule.origin.label)
    compiled.requestTimeout = rule.requestTimeout.or(policy.requestTimeout)
    compiled.backendRequestTimeout = rule.backendRequestTimeout.or(policy.backendRequestTimeout)
    compiled.retry = rule.retry?.applied(to: policy.retry) ?? policy.retry
    compiled.isGRPC = rule.isGRPC
    compiled.sharing = rule.cors.map { add($0) }
    compiled.requestEdit = edit(rule.requestHeaders)
    compiled.responseEdit = edit(rule.responseHeaders)
    compiled.rewrite = rewrite(rule.rewrite)
    switch rule.action {
    case .forward(let targets): add(targets, of: rule, to: &compiled, resolve: resolve)
    case .redirect(let redirect):
      compiled.action = .redirect
      compiled.redirect.status = redirect.status
      compiled.redirect.scheme = intern(redirect.scheme ?? "")
      compiled.redirect.host = intern(redirect.hostname ?? "")
      compiled.redirect.port = redirect.port
      (compiled.redirect.pathChange, compiled.redirect.pathText) = change(redirect.path)
    case .respond(let answer):
      compiled.action = .respond
      compiled.answerStatus = answer.status
      compiled.answerContentType = intern(answer.contentType)
      compiled.answerBody = ByteRange(
        offset: UInt32(clamping: bytes.count), length: UInt32(clamping: answer.body.count))
      bytes += answer.body
    }
    rules.append(compiled)
    for (number, match) in (rule.matches.isEmpty ? [RouteMatch()] : rule.matches).enumerated() {
      matches.append(RankedMatch(rule: index, matchIndex: number, match: match, origin: rule.origin))
    }
  }

  private mutating func add(
    _ targets: [WeightedBackend], of rule: RouteRule, to compiled: inout CompiledRule,
    resolve: (BackendReference) -> BackendResolution
  ) {
    let start = backends.count
    for target in targets where target.weight > 0 {
      compiled.totalWeight &+= target.weight
      var backend = CompiledBackend(
        cluster: -1, cumulativeWeight: compiled.totalWeight,
        requestEdit: edit(rule.requestHeaders, target.requestHeaders),
        responseEdit: edit(
          rule.cors == nil ? HeaderModification() : CORSPolicy.answered, target.responseHeaders, rule.responseHeaders))
      backend.rewrite = rewrite(target.rewrite, else: compiled.rewrite)
      backend.mirrors = copies(target.mirrors, resolve: resolve)
      switch resolve(target.reference) {
      case .cluster(let number): backend.cluster = number
      case .unusable(let reason): backend.unusable = reason
      }
      backends.append(backend)
    }
    compiled.backends = slice(from: start, to: backends.count)
    compiled.mirrors = copies(rule.mirrors, resolve: resolve)
  }

  private mutating func copies(
    _ wanted: [Mirror], resolve: (BackendReference) -> BackendResolution
  ) -> TableSlice {
    let first = mirrors.count
    for mirror in wanted where mirror.numerator > 0 {
      // A copy that has nowhere to go is no reason for the request to fail.
      guard case .cluster(let number) = resolve(mirror.backend) else { continue }
      mirrors.append(
        CompiledMirror(cluster: number, numerator: mirror.numerator, denominator: mirror.denominator))
    }
    return slice(from: first, to: mirrors.count)
  }

  private mutating func rewrite(_ wanted: URLRewrite?, else common: CompiledRewrite = .init()) -> CompiledRewrite {
    var compiled = common
    if let host = wanted?.hostname { compiled.host = intern(host) }
    if let path = wanted?.path { (compiled.pathChange, compiled.pathText) = change(path) }
    return compiled
  }

  private mutating func change(_ modifier: PathModifier?) -> (CompiledPathChange, ByteRange) {
    switch modifier {
    case nil: (.none, .empty)
    case .replaceFull(let text): (.replaceFull, intern(text))
    case .replacePrefix(let text): (.replacePrefix, intern(text))
    }
  }

  private mutating func edit(_ modifications: HeaderModification...) -> Int32? {
    var effect = HeaderEffect()
    for modification in modifications { effect.apply(modification) }
    if effect.isEmpty { return nil }
    let firstName = droppedNames.count
    let firstField = fields.count
    var droppedKnown: UInt64 = 0
    for change in effect.result {
      let known = KnownHeader.named(change.name)
      if change.drops {
        if known == .other {
          droppedNames.append(intern(change.name))
        } else {
          droppedKnown |= 1 << UInt64(known.rawValue)
        }
      }
      for value in change.values {
        fields.append(CompiledField(name: intern(change.name), value: intern(value), known: known))
      }
    }
    edits.append(
      CompiledEdit(
        droppedKnown: droppedKnown, droppedNames: slice(from: firstName, to: droppedNames.count),
        appended: slice(from: firstField, to: fields.count)))
    return Int32(clamping: edits.count - 1)
  }

  private func slice(from start: Int, to end: Int) -> TableSlice {
    TableSlice(start: Int32(clamping: start), count: Int32(clamping: end - start))
  }

  private mutating func program(_ pattern: String) -> Int32 {
    if let known = programNumbers[pattern] { return known }
    // Patterns that do not compile were refused before; one that did not would never match.
    guard let program = try? RegexProgram(pattern) else { return -1 }
    programs.append(program)
    let number = Int32(clamping: programs.count - 1)
    programNumbers[pattern] = number
    return number
  }

  private mutating func place(of name: String) -> Int8 {
    if let known = places[name] { return known }
    guard places.count < FieldPlaces.capacity else { return -1 }
    let place = Int8(clamping: places.count)
    places[name] = place
    return place
  }

  private mutating func compile(_ conditions: [NamedMatch], areHeaders: Bool) -> TableSlice {
    let start = self.conditions.count
    for match in conditions {
      let name = areHeaders ? match.name.lowercased() : match.name
      let known = areHeaders ? KnownHeader.named(name) : .other
      var condition = NamedCondition(
        name: intern(name), known: known, isAuthority: known == .host || known == .pseudoAuthority,
        place: areHeaders ? place(of: name) : -1, value: .empty, regex: -1)
      switch match.value {
      case .exact(let text): condition.value = intern(text)
      case .regex(let pattern): condition.regex = program(pattern)
      }
      self.conditions.append(condition)
    }
    return slice(from: start, to: self.conditions.count)
  }

  private mutating func compile(_ ranked: [RankedMatch], prefixLength: Int) -> RouteRun {
    let start = entries.count
    for item in ranked.sorted(by: { $0.precedes($1) }) {
      var entry = RouteEntry(
        rule: Int32(clamping: item.rule), method: item.match.method?.rawValue ?? RouteEntry.anyMethod,
        headers: compile(item.match.headers, areHeaders: true), query: compile(item.match.query, areHeaders: false),
        regex: -1, prefixLength: UInt32(clamping: prefixLength))
      if case .regex(let pattern) = item.match.path { entry.regex = program(pattern) }
      entries.append(entry)
    }
    return RouteRun(entries: slice(from: start, to: entries.count), index: index(from: start, to: entries.count))
  }

  /// The finished table, in `store`.
  mutating func finish(in store: FrozenStore) -> RouteTableView {
    var exact: [String: [RankedMatch]] = [:]
    var expressions: [RankedMatch] = []
    var tree = PrefixTree()
    for item in GRPCOrder.arranged(matches) {
      switch item.match.path {
      case .exact(let path): exact[path, default: []].append(item)
      case .regex: expressions.append(item)
      case .prefix(let path): tree.insert(item, at: path)
      }
    }
    var exactIndex = PathIndex()
    var buckets: [RouteRun] = []
    for (path, items) in exact {
      buckets.append(compile(items, prefixLength: 0))
      exactIndex.insert(Array(path.utf8), intern(path), owner: 0, target: Int32(clamping: buckets.count - 1))
    }
    let regexEntries = compile(expressions, prefixLength: 0)
    var prefixIndex = PathIndex()
    var nodes: [PrefixNode] = []
    for (number, node) in tree.nodes.enumerated() {
      let parent = node.parent < 0 ? nil : nodes[node.parent]
      let fallback = parent.map { $0.entries.entries.count > 0 ? Int32(clamping: node.parent) : $0.fallback } ?? -1
      nodes.append(PrefixNode(entries: compile(node.matches, prefixLength: node.length), fallback: fallback))
      if node.parent >= 0 {
        prefixIndex.insert(
          node.element, intern(String(decoding: node.element, as: UTF8.self)), owner: Int32(clamping: node.parent),
          target: Int32(clamping: number))
      }
    }
    let text = store.freeze(bytes)
    return RouteTableView(
      bytes: text.baseAddress.unsafelyUnwrapped, rules: store.freeze(rules), backends: store.freeze(backends),
      edits: store.freeze(edits), droppedNames: store.freeze(droppedNames), fields: store.freeze(fields),
      mirrors: store.freeze(mirrors), sharing: store.freeze(sharing), origins: store.freeze(origins),
      entries: store.freeze(entries), conditions: store.freeze(conditions),
      programs: store.freeze(programs.map(\.view)), exactSlots: store.freeze(exactIndex.slots),
      exactBuckets: store.freeze(buckets), regexEntries: regexEntries, prefixSlots: store.freeze(prefixIndex.slots),
      nodes: store.freeze(nodes), headerIndexes: store.freeze(headerIndexes), headerGroups: store.freeze(headerGroups),
      headerSlots: store.freeze(headerSlots), postings: store.freeze(postings))
  }
}

extension KnownHeader {
  /// The interned name equal to `name` in lower case.
  package static func named(_ name: String) -> KnownHeader {
    allCases.first { $0 != .other && $0.name.description == name } ?? .other
  }
}
