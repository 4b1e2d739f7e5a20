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
  }

  private static func remedy(_ hop: Hop) -> String {
    let told = hop.decisive
    if let reason = Reason(name: told.reason) ?? Reason(name: told.attemptReason) { return "\(reason.remedy)" }
    return told.status >= 500 || told.isFailure ? "Look at the log of \(hop.answererName) at that time." : ""
  }
}

/// One call of a service, as its two ends tell it.
struct Hop {
  var source: DecisionRecord?
  var destination: DecisionRecord?

  /// The record that says most about the end: the caller's where its proxy had a reason of its own (the other end then saw
  /// a client that left), else the server's where that one had.
  var decisive: DecisionRecord {
    if let source, !source.reason.isEmpty { return source }
    if let destination, !destination.reason.isEmpty || source == nil { return destination }
    return source ?? destination ?? DecisionRecord()
  }

  var isNotable: Bool {
    [source, destination].contains { record in
      record.map { !$0.reason.isEmpty || $0.status >= 500 || $0.isFailure || $0.retries > 0 } ?? false
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

  var answererName: String { Self.first(destination?.workload, source?.workload, calleeName) }

  private static func first(_ names: String?...) -> String {
    names.lazy.compactMap { $0 }.first { !$0.isEmpty && $0 != "unknown" } ?? ""
  }

  /// The hops of one request, in the order in which they began.
  static func all(in decisions: [DecisionRecord]) -> [Hop] {
    var hops = decisions.filter { $0.reporter == .source }.map { Hop(source: $0) }
    for record in decisions where record.reporter == .destination {
      let match = hops.indices.filter { index in
        guard hops[index].destination == nil, let source = hops[index].source else { return false }
        return source.service == record.service && source.destinationNamespace == record.destinationNamespace
          && (source.workload.isEmpty || record.workload.isEmpty || source.workload == record.workload)
      }
      // Of several calls of the same service, the one that ended next after the server was done.
      let nearest = match.min { left, right in
        Self.distance(hops[left].source, record) < Self.distance(hops[right].source, record)
      }
      if let nearest { hops[nearest].destination = record } else { hops.append(Hop(destination: record)) }
    }
    return inOrderOfCalls(hops.sorted { $0.began < $1.began })
  }

  /// Callers before what they called; clocks of several machines do not tell that surely.
  private static func inOrderOfCalls(_ hops: [Hop]) -> [Hop] {
    var ordered: [Hop] = []
    var taken = Set<Int>()
    func take(_ index: Int) {
      guard taken.insert(index).inserted else { return }
      ordered.append(hops[index])
      for next in hops.indices where hops[next].callerName == hops[index].calleeName { take(next) }
    }
    for index in hops.indices {
      let isCalled = hops.indices.contains { $0 != index && hops[$0].calleeName == hops[index].callerName }
      if !isCalled { take(index) }
    }
    // Services that call each other in a circle.
    for index in hops.indices { take(index) }
    return ordered
  }

  private static func distance(_ left: DecisionRecord?, _ right: DecisionRecord) -> UInt64 {
    guard let left else { return .max }
    return left.endedMilliseconds > right.endedMilliseconds
      ? left.endedMilliseconds - right.endedMilliseconds : right.endedMilliseconds - left.endedMilliseconds
  }
}
