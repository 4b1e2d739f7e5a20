import MeshModel
package import MeshWire

/// Why something came of a request as it did: a sentence for a person, the object that decided, the way it took, and what
/// to do.
package struct Explanation: Sendable, Equatable {
  /// The object of configuration, the endpoint or the peer that decided.
  package struct Object: Sendable, Equatable {
    /// `HTTPRoute`, `Service`, `TrafficPolicy`, `Endpoint`, `Certificate`, `Client`, `Application`, `Proxy`.
    package var kind: String
    package var namespace: String
    package var name: String
    /// Its numbers or state, where they mattered: `limit 10 requests`.
    package var detail: String

    package init(kind: String, namespace: String, name: String, detail: String = "") {
      self.kind = kind
      self.namespace = namespace
      self.name = name
      self.detail = detail
    }

    /// For people: `TrafficPolicy of shop/payments, limit 10 requests`.
    package var text: String {
      let whole = namespace.isEmpty ? name : "\(namespace)/\(name)"
      return "\(kind) \(whole)" + (detail.isEmpty ? "" : ", \(detail)")
    }
  }

  /// One step of the way.
  package struct Step: Sendable, Equatable {
    /// Who says so: `proxy of checkout-7f3k`.
    package var place: String
    package var text: String

    package init(place: String, text: String) {
      self.place = place
      self.text = text
    }
  }

  package var sentence: String
  /// Stable name of the reason; empty: the mesh had none.
  package var reason: String
  package var object: Object?
  package var chain: [Step]
  /// What to do; empty: nothing.
  package var remedy: String
  /// What it was read from.
  package var decisions: [DecisionRecord]
  /// The record that the sentence and the object are about; nil where it is about none.
  package private(set) var told: DecisionRecord?

  package init(
    sentence: String, reason: String = "", object: Object? = nil, chain: [Step] = [], remedy: String = "",
    decisions: [DecisionRecord] = []
  ) {
    self.sentence = sentence
    self.reason = reason
    self.object = object
    self.chain = chain
    self.remedy = remedy
    self.decisions = decisions
  }

  /// Explains one request from everything the proxies kept of it; nil where they kept nothing.
  ///
  /// A request that an application passes on keeps its id, so that there may be several hops; the sentence is about the
  /// one that failed and called none that failed.
  package init?(of decisions: [DecisionRecord]) {
    let hops = Hop.all(in: decisions)
    guard let decisive = hops.last(where: \.isNotable) ?? hops.first else { return nil }
    let told = decisive.decisive
    self.init(
      sentence: Sentence.text(decisive), reason: told.reason.isEmpty ? told.attemptReason : told.reason,
      object: Self.object(decisive), chain: hops.flatMap(\.steps), decisions: decisions)
    remedy = Self.remedy(decisive)
    self.told = told
  }

  private static func remedy(_ hop: Hop) -> String {
    let told = hop.decisive
    let isOnlyUnretried = told.isUnretried || told.reason.isEmpty && hop.retryRefusal != nil
    if isOnlyUnretried, told.status >= 500, told.isAnswered {
      return "Look at the log of \(hop.answererName) at that time."
    }
    if let reason = Reason(name: told.reason) ?? Reason(name: told.attemptReason) { return "\(reason.remedy)" }
    if told.status >= 500 || told.isFailure { return "Look at the log of \(hop.answererName) at that time." }
    if let attempt = told.failedAttempts.last {
      let name = attempt.workload.isEmpty ? attempt.endpoint : attempt.workload
      return "The request was answered; look at the log of \(name) for why the attempt before was not."
    }
    return told.delayMilliseconds > 0 ? "\(Reason.faultInjected.remedy)" : ""
  }
}

/// One call of a service, as its two ends tell it.
struct Hop {
  var source: DecisionRecord?
  /// What the called end says: of several attempts several times, the last one last.
  var destinations: [DecisionRecord] = []

  var destination: DecisionRecord? { destinations.last }

  /// What both ends say.
  var records: [DecisionRecord] { [source].compactMap { $0 } + destinations }

  /// The record that says most about the end: the caller's where its proxy had a reason of its own (the other end then saw
  /// a client that left), else the server's where that one had. That nothing was tried again is not what went wrong; that
  /// the endpoint broke off is better known at its own end.
  var decisive: DecisionRecord {
    if let source, let destination, source.isBrokenOff, destination.isOfItsEndpoint { return destination }
    if let source, !source.reason.isEmpty, destination?.reason.isEmpty != false || !source.isUnretried { return source }
    if let destination, !destination.reason.isEmpty || source == nil, !isAnswered { return destination }
    return source ?? destination ?? DecisionRecord()
  }

  /// Whether the caller got an answer that is no failure, whatever became of attempts before.
  private var isAnswered: Bool { source.map { !$0.isFailure && $0.status > 0 && $0.status < 400 } ?? false }

  /// Why a failed attempt was the last; nil where that was not decided.
  var retryRefusal: Reason? {
    guard let source else { return nil }
    return [Reason(name: source.attemptReason), Reason(name: source.reason)].compactMap { $0 }
      .first { Explanation.retryRefusals.contains($0) }
  }

  var isNotable: Bool {
    ([source].compactMap { $0 } + destinations).contains {
      !$0.reason.isEmpty || $0.status >= 500 || $0.isFailure || $0.retries > 0 || $0.delayMilliseconds > 0
    }
  }

  /// When it began, milliseconds since 1970.
  var began: UInt64 {
    let record = source ?? destination ?? DecisionRecord()
    return record.endedMilliseconds - min(record.endedMilliseconds, record.durationMicroseconds / 1000)
  }

  var callerName: String { Self.first(source?.sourceService, destination?.sourceService, source?.source, "somebody") }

  var calleeName: String {
    Self.first(source?.service, destination?.service, source?.authority, destination?.authority, "a service")
  }

  /// The called service as people asked for it: a backend that a route chose stands behind its name.
  var calleeText: String {
    guard let source, !source.asked.isEmpty, source.asked != source.service else { return calleeName }
    return source.service.isEmpty ? source.asked : "\(source.asked) (backend \(source.service))"
  }

  /// Everything that the called service may be known by.
  private var calleeNames: [String] {
    [calleeName, source?.asked ?? "", destination?.service ?? "", destination?.workload ?? ""].filter { !$0.isEmpty }
  }

  var answererName: String { Self.first(destination?.workload, source?.workload, calleeName) }

  private static func first(_ names: String?...) -> String {
    names.lazy.compactMap { $0 }.first { !$0.isEmpty && $0 != "unknown" } ?? ""
  }

  /// The hops of one request, in the order in which they began.
  static func all(in decisions: [DecisionRecord]) -> [Hop] {
    var hops = decisions.filter { $0.reporter == .source }.map { Hop(source: $0) }
    let ends = decisions.filter { $0.reporter == .destination }.sorted { $0.endedMilliseconds < $1.endedMilliseconds }
    for record in ends {
      let match = hops.indices.filter { hops[$0].mayHave(record) }
      // Of several calls of the same workload, the one that ended next after the server was done.
      let nearest = match.min { left, right in
        Self.distance(hops[left].source, record) < Self.distance(hops[right].source, record)
      }
      if let nearest { hops[nearest].destinations.append(record) } else { hops.append(Hop(destinations: [record])) }
    }
    return inOrderOfCalls(hops.sorted { $0.began < $1.began })
  }

  /// Whether a record of a called end can be of this call. The called end knows its workload, and perhaps another of the
  /// services that choose it than the one that was asked for.
  private func mayHave(_ record: DecisionRecord) -> Bool {
    guard let source, source.attempts > 0, destinations.count < Int(source.attempts) else { return false }
    guard source.destinationNamespace == record.destinationNamespace else { return false }
    let known = [source.workload] + source.failedAttempts.map(\.workload)
    let workloads = known.filter { !$0.isEmpty && $0 != "unknown" }
    return workloads.isEmpty ? source.service == record.service : workloads.contains(record.workload)
  }

  /// Callers before what they called; clocks of several machines do not tell that surely.
  private static func inOrderOfCalls(_ hops: [Hop]) -> [Hop] {
    var ordered: [Hop] = []
    var taken = Set<Int>()
    func take(_ index: Int) {
      guard taken.insert(index).inserted else { return }
      ordered.append(hops[index])
      for next in hops.indices where hops[index].calls(hops[next]) { take(next) }
    }
    for index in hops.indices {
      let isCalled = hops.indices.contains { $0 != index && hops[$0].calls(hops[index]) }
      if !isCalled { take(index) }
    }
    // Services that call each other in a circle.
    for index in hops.indices { take(index) }
    return ordered
  }

  /// Whether the other is a call that this one's called made.
  private func calls(_ other: Hop) -> Bool { calleeNames.contains(other.callerName) }

  private static func distance(_ left: DecisionRecord?, _ right: DecisionRecord) -> UInt64 {
    guard let left else { return .max }
    return left.endedMilliseconds > right.endedMilliseconds
      ? left.endedMilliseconds - right.endedMilliseconds : right.endedMilliseconds - left.endedMilliseconds
  }
}

extension DecisionRecord {
  /// Whether the other end broke off, for reasons that are not known here.
  fileprivate var isBrokenOff: Bool {
    [Reason.upstreamReset, .upstreamRefusedStream].contains { "\($0.name)" == reason }
  }

  /// Whether its reason is about what stands behind the proxy, and not about who asked.
  fileprivate var isOfItsEndpoint: Bool {
    guard reporter == .destination, let reason = Reason(name: reason) else { return false }
    return reason.flag != .downstreamTermination && reason.flag != .downstreamProtocolError
  }

  /// Whether its reason says only that a failure was not tried again.
  var isUnretried: Bool { Reason(name: reason).map { Explanation.retryRefusals.contains($0) } ?? false }
}

extension AttemptRecord {
  /// Whether neither failed nor answered: a second attempt beside it was quicker.
  var isOvertaken: Bool { reason.isEmpty && status == 0 && grpcStatus == nil }
}
