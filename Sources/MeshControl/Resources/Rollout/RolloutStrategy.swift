/// More and more weight for the candidate, each step under the eyes of the analysis.
package struct CanaryStrategy: FieldObject, Equatable {
  /// Default: 5, 25 and 50 per cent, a minute each.
  package var steps: [Step] = []
  /// Requests that go to the candidate from the first step on, whatever its weight; one of these must hold. They are left
  /// out of the analysis, since testers are not like other people.
  package var testers: [Audience] = []

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("steps", &steps, .items(0...64))
    visitor.field("testers", &testers, .items(0...8))
  }

  package func check(path: String, into report: ViolationReport) {
    for (index, pair) in zip(steps, steps.dropFirst()).enumerated() where pair.1.weight < pair.0.weight {
      report.add(
        .invalid, at: "\(path).steps[\(index + 1)].weight",
        "\(pair.1.weight) is less than the step before has; let weights grow, or take the step out")
    }
  }

  package struct Step: FieldObject, Equatable {
    /// Share of the requests, per cent.
    package var weight = 0
    /// The least time at this step. Default: as long as the analysis needs.
    package var pause: GatewayDuration?
    /// Whether the step lasts until a person promotes.
    package var manual = false

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("weight", &weight, .required, .range(0...100))
      visitor.field("pause", &pause)
      visitor.field("manual", &manual)
    }

    package func check(path: String, into report: ViolationReport) {
      pause?.checkBounds(path: "\(path).pause", into: report)
    }
  }

  /// The steps, or the default ones.
  package var effectiveSteps: [Step] {
    guard steps.isEmpty else { return steps }
    return [5, 25, 50].map { weight in
      var step = Step()
      step.weight = weight
      step.pause = GatewayDuration("1m")
      return step
    }
  }
}

/// Requests told by what they carry: all headers that are given, and the cookie.
package struct Audience: FieldObject, Equatable {
  package var headers: [HTTPRouteMatch.HeaderMatch] = []
  package var cookie: Cookie?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("headers", &headers, .items(0...8), .uniqueIgnoringCase("name"))
    visitor.field("cookie", &cookie)
  }

  package func check(path: String, into report: ViolationReport) {
    guard headers.isEmpty, cookie == nil else { return }
    report.add(.required, at: "\(path).headers", "is missing; give headers, a cookie, or both")
  }

  package struct Cookie: FieldObject, Equatable {
    package var name = ""
    package var value = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...128), .format(.token))
      visitor.field("value", &value, .required, .length(1...256), .format(.token))
    }
  }

  /// The header conditions, the cookie among them.
  var matches: [HTTPRouteMatch.HeaderMatch] {
    guard let cookie else { return headers }
    var match = HTTPRouteMatch.HeaderMatch()
    match.type = .regularExpression
    match.name = "cookie"
    match.value = "(.*;\\s*)?\(Self.escaped(cookie.name))=\(Self.escaped(cookie.value))(\\s*;.*)?"
    return headers + [match]
  }

  private static func escaped(_ text: String) -> String {
    text.map { $0.isLetter || $0.isNumber ? String($0) : "\\\($0)" }.joined()
  }
}

/// The candidate is looked at under a name of its own, then gets all traffic at once; the way back is as quick.
package struct BlueGreenStrategy: FieldObject, Equatable {
  /// A Service under which the candidate alone is reached. It is made where there is none. Absent: the candidate is
  /// reached under the name of its version's Service only.
  package var previewService: String?
  /// Whether traffic is switched without a person, as soon as the gates are open.
  package var autoPromote = false
  /// The least time in preview; default none.
  package var previewFor: GatewayDuration?
  /// How long the way back is kept open, and the candidate watched, after the switch; default 10m.
  package var returnWindow: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("previewService", &previewService, .format(.serviceName))
    visitor.field("autoPromote", &autoPromote)
    visitor.field("previewFor", &previewFor)
    visitor.field("returnWindow", &returnWindow)
  }

  package func check(path: String, into report: ViolationReport) {
    previewFor?.checkBounds(path: "\(path).previewFor", into: report)
    returnWindow?.checkBounds(path: "\(path).returnWindow", into: report)
  }
}

/// The candidate serves an audience, the stable version everybody else, for a time.
package struct ABTestStrategy: FieldObject, Equatable {
  /// Who gets the candidate; one of them must hold.
  package var audience: [Audience] = []
  /// How long; default 1h.
  package var duration: GatewayDuration?
  /// Whether the candidate gets all traffic at the end without a person, if the analysis speaks for it.
  package var autoPromote = false

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("audience", &audience, .required, .items(1...8))
    visitor.field("duration", &duration)
    visitor.field("autoPromote", &autoPromote)
  }

  package func check(path: String, into report: ViolationReport) {
    duration?.checkBounds(path: "\(path).duration", into: report)
  }
}

/// The candidate gets copies of requests, and nobody its answers.
package struct ShadowStrategy: FieldObject, Equatable {
  /// Share of the requests that are copied, per cent; default 100.
  package var percent = 100
  /// How long; default 10m.
  package var duration: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("percent", &percent, .range(1...100))
    visitor.field("duration", &duration)
  }

  package func check(path: String, into report: ViolationReport) {
    duration?.checkBounds(path: "\(path).duration", into: report)
  }
}

/// Traffic follows the candidate's instances as they come; then the old version drains.
package struct RollingStrategy: FieldObject, Equatable {
  /// Per cent of the traffic that are moved at a time; default 25.
  package var batchPercent = 25
  /// Instances of the candidate for all of the traffic. Absent: as many as the stable version has at the beginning.
  package var instances: Int?
  /// How long the old version must have been without requests before it may be ended; default 30s.
  package var drain: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("batchPercent", &batchPercent, .range(1...100))
    visitor.field("instances", &instances, .range(1...10_000))
    visitor.field("drain", &drain)
  }

  package func check(path: String, into report: ViolationReport) {
    drain?.checkBounds(path: "\(path).drain", into: report)
  }
}
