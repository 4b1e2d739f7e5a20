// What a TrafficPolicy asks of requests before they are let in: rate limits, faults, load.

extension TrafficPolicySpec {
  /// How many requests may pass in a time.
  package struct RateLimit: FieldObject, Equatable {
    /// Unique in the policy; it stands in the answer's `RateLimit` field.
    package var name = ""
    /// Requests in each `per`.
    package var requests = 0
    /// Default 1s.
    package var per: GatewayDuration?
    /// Requests that may come at once after a quiet time; default: `requests`.
    package var burst: Int?
    /// Whose requests are counted together; absent: all.
    package var key: Key?
    /// Requests that are counted; none: all.
    package var matches: [HTTPRouteMatch] = []
    /// Whose proxy holds to the limit, where the target is a Service. Default Server.
    package var side: Side?
    /// Who counts together. Default Local.
    package var scope: Scope?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("name", &name, .required, .length(1...63), .format(.dnsLabel))
      visitor.field("requests", &requests, .required, .range(1...1_000_000_000))
      visitor.field("per", &per)
      visitor.field("burst", &burst, .range(1...1_000_000_000))
      visitor.field("key", &key)
      visitor.field("matches", &matches, .items(0...16))
      visitor.field("side", &side)
      visitor.field("scope", &scope)
    }

    package func check(path: String, into report: ViolationReport) {
      per?.checkBounds(path: "\(path).per", into: report)
      let milliseconds = per.map(\.milliseconds) ?? 1_000
      if milliseconds > 0, Int64(requests) > milliseconds * 1_000 {
        report.add(
          .invalid, at: "\(path).requests", "are more than 1000000 a second; use fewer, or leave the limit out")
      }
    }
  }

  /// Whose requests a limit counts together.
  package struct Key: FieldObject, Equatable {
    package var type = KeyType.identity
    /// The header whose value is the key, where the type is Header.
    package var header: String?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type, .required)
      visitor.field("header", &header, .length(1...256), .format(.token))
    }

    package func check(path: String, into report: ViolationReport) {
      if type == .header, header == nil {
        report.add(.required, at: "\(path).header", "is missing; name the header whose value is the key")
      }
      if type != .header, header != nil {
        report.add(
          .forbidden, at: "\(path).header", "has no meaning for type \(type.rawValue); remove it, or use type Header")
      }
    }
  }

  package enum KeyType: String, FieldEnum {
    /// The caller's SPIFFE ID; callers without one count together.
    case identity = "Identity"
    /// The address that the connection comes from, without its port.
    case sourceAddress = "SourceAddress"
    /// A header's value; requests without it count together.
    case header = "Header"
  }

  package enum Side: String, FieldEnum {
    /// Each workload of the service, at its own proxy: it protects the application.
    case server = "Server"
    /// Each client's proxy for itself, before anything is sent.
    case client = "Client"
  }

  package enum Scope: String, FieldEnum {
    /// Each proxy for itself.
    case local = "Local"
    /// All proxies of the mesh together: the control plane divides the limit among them.
    case global = "Global"
  }

  /// Faults put into the traffic on purpose, at the client's proxy.
  package struct Fault: FieldObject, Equatable {
    /// Requests that it is about; none: all.
    package var matches: [HTTPRouteMatch] = []
    package var delay: Delay?
    package var abort: Abort?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("matches", &matches, .items(0...16))
      visitor.field("delay", &delay)
      visitor.field("abort", &abort)
    }

    package func check(path: String, into report: ViolationReport) {
      guard delay == nil, abort == nil else { return }
      report.add(.required, at: path, "does nothing; give it a delay, an abort, or both")
    }
  }

  package struct Delay: FieldObject, Equatable {
    package var time: GatewayDuration?
    package var percentage = Percentage()

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("time", &time, .required)
      visitor.field("percentage", &percentage)
    }

    package func check(path: String, into report: ViolationReport) {
      time?.checkBounds(path: "\(path).time", longest: 3_600, into: report)
    }
  }

  package struct Abort: FieldObject, Equatable {
    package var status = 503
    package var percentage = Percentage()

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("status", &status, .range(400...599))
      visitor.field("percentage", &percentage)
    }
  }

  /// A limit on requests in flight at each workload that finds its own height.
  package struct AdaptiveConcurrency: FieldObject, Equatable {
    /// Default 4.
    package var least: Int?
    /// Default 10000.
    package var most: Int?
    /// Where to begin; default 32.
    package var initial: Int?
    /// Hundredths of the calm latency at which the limit goes down; default 150.
    package var tolerancePercent: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("least", &least, .range(1...1_000_000))
      visitor.field("most", &most, .range(1...1_000_000))
      visitor.field("initial", &initial, .range(1...1_000_000))
      visitor.field("tolerancePercent", &tolerancePercent, .range(100...1_000))
    }

    package func check(path: String, into report: ViolationReport) {
      if let least, let most, most < least {
        report.add(.invalid, at: "\(path).most", "is below least; make it at least as large")
      }
    }
  }
}

/// A share in per cent, as a whole number or with a fraction; exact to the millionth. Default 100.
package struct Percentage: FieldValue, Equatable, Sendable {
  package var perMillion: UInt32 = 1_000_000

  package init() {}

  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Percentage? {
    let number: Double
    switch value.content {
    case .integer(let whole): number = Double(whole)
    case .number(let fraction): number = fraction
    default:
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where a number is due; write one from 0 to 100",
        position: value.position)
      return nil
    }
    guard number >= 0, number <= 100 else {
      report.add(.invalid, at: path, "is out of bounds; use a number from 0 to 100", position: value.position)
      return nil
    }
    var result = Percentage()
    result.perMillion = UInt32((number * 10_000).rounded())
    return result
  }

  package var written: Value? {
    perMillion % 10_000 == 0
      ? .integer(Int(perMillion / 10_000)) : Value(.number(Double(perMillion) / 10_000))
  }
}
