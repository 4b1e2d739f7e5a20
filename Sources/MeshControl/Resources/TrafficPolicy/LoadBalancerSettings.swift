// How a TrafficPolicy has endpoints chosen.

extension TrafficPolicySpec {
  /// How an endpoint is chosen among those of the service.
  package struct LoadBalancer: FieldObject, Equatable {
    /// Default PeakEWMA; with `affinity` Maglev.
    package var algorithm: Algorithm?
    /// Memory of PeakEWMA; default 10s.
    package var decay: GatewayDuration?
    package var affinity: Affinity?
    package var slowStart: SlowStart?
    package var zoneAware: ZoneAware?
    /// Best first; endpoints that none describes come last.
    package var priorities: [Priority] = []
    package var subset: Subset?
    /// Under this share of healthy endpoints, in per cent, health is ignored; default 50.
    package var panicThreshold: Int?
    /// The longest pause that an endpoint's `Retry-After` is granted; default 30s; 0s: none.
    package var longestRest: GatewayDuration?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("algorithm", &algorithm)
      visitor.field("decay", &decay)
      visitor.field("affinity", &affinity)
      visitor.field("slowStart", &slowStart)
      visitor.field("zoneAware", &zoneAware)
      visitor.field("priorities", &priorities, .items(0...7))
      visitor.field("subset", &subset)
      visitor.field("panicThreshold", &panicThreshold, .range(0...100))
      visitor.field("longestRest", &longestRest)
    }

    package func check(path: String, into report: ViolationReport) {
      decay?.checkBounds(path: "\(path).decay", longest: 3_600, into: report)
      if let longestRest, longestRest.milliseconds > 0 {
        longestRest.checkBounds(path: "\(path).longestRest", longest: 3_600, into: report)
      }
      if decay != nil, let algorithm, algorithm != .peakEWMA {
        report.add(.forbidden, at: "\(path).decay", "has no meaning for \(algorithm.rawValue); remove it")
      }
      let isConsistent = algorithm == nil || algorithm == .ringHash || algorithm == .maglev
      if affinity != nil, !isConsistent {
        report.add(
          .forbidden, at: "\(path).affinity",
          "needs an algorithm that keeps keys at their endpoints; use RingHash or Maglev")
      }
      if affinity == nil, algorithm == .ringHash || algorithm == .maglev {
        report.add(
          .required, at: "\(path).affinity", "is missing; say which cookie, header or address is the key")
      }
    }
  }

  /// What of a request keeps it at one endpoint.
  package struct Affinity: FieldObject, Equatable {
    package var type = AffinityType.cookie
    /// The cookie's or header's name.
    package var name: String?
    /// How long a cookie that the mesh gives lasts; absent: as long as the client's session.
    package var lifetime: GatewayDuration?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type, .required)
      visitor.field("name", &name, .length(1...128), .format(.token))
      visitor.field("lifetime", &lifetime)
    }

    package func check(path: String, into report: ViolationReport) {
      if type != .sourceAddress, name == nil {
        report.add(.required, at: "\(path).name", "is missing; name the \(type.rawValue.lowercased())")
      }
      if type == .sourceAddress, name != nil {
        report.add(.forbidden, at: "\(path).name", "has no meaning for SourceAddress; remove it")
      }
      if type != .cookie, lifetime != nil {
        report.add(.forbidden, at: "\(path).lifetime", "has a meaning for cookies only; remove it")
      }
      if let lifetime, lifetime.milliseconds < 1_000 {
        report.add(.invalid, at: "\(path).lifetime", "\(lifetime.text) is too short; write at least 1s")
      }
    }
  }

  package enum AffinityType: String, FieldEnum {
    case cookie = "Cookie"
    case header = "Header"
    /// The address that the connection comes from, without its port.
    case sourceAddress = "SourceAddress"
  }

  /// New endpoints grow into their share.
  package struct SlowStart: FieldObject, Equatable {
    package var window: GatewayDuration?
    /// The least part of their share meanwhile; default 10.
    package var leastPercent: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("window", &window, .required)
      visitor.field("leastPercent", &leastPercent, .range(1...100))
    }

    package func check(path: String, into report: ViolationReport) {
      window?.checkBounds(path: "\(path).window", longest: 3_600, into: report)
    }
  }

  /// Endpoints of the own zone first, then of the own region, then all others.
  package struct ZoneAware: FieldObject, Equatable {
    /// Requests in flight at an endpoint above which the next level helps out; default 100; 0: never.
    package var busyRequests: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("busyRequests", &busyRequests, .range(0...1_000_000))
    }
  }

  /// The endpoints of one priority.
  package struct Priority: FieldObject, Equatable {
    /// All must hold.
    package var matchLabels: [String: String] = [:]

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("matchLabels", &matchLabels, .required, .items(1...8))
    }
  }

  /// Requests name in a header the value of a label that their endpoint must have.
  package struct Subset: FieldObject, Equatable {
    package var label = ""
    package var header = ""
    /// What becomes of requests for a subset without endpoints; default Any.
    package var fallback: SubsetFallback?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("label", &label, .required, .format(.labelKey))
      visitor.field("header", &header, .required, .length(1...128), .format(.token))
      visitor.field("fallback", &fallback)
    }
  }

  package enum SubsetFallback: String, FieldEnum {
    case any = "Any"
    /// They are refused.
    case none = "None"
  }

  /// Ejects endpoints whose share of successes is far below the others'.
  package struct SuccessRate: FieldObject, Equatable {
    /// Default 5.
    package var minimumHosts: Int?
    /// Default 100.
    package var requestVolume: Int?
    /// Standard deviations below the mean, in thousandths; default 1900.
    package var deviationsPerMille: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("minimumHosts", &minimumHosts, .range(1...10_000))
      visitor.field("requestVolume", &requestVolume, .range(1...1_000_000))
      visitor.field("deviationsPerMille", &deviationsPerMille, .range(0...10_000))
    }
  }

  /// Ejects endpoints of whose requests too many fail.
  package struct FailurePercentage: FieldObject, Equatable {
    /// Default 85.
    package var threshold: Int?
    /// Default 5.
    package var minimumHosts: Int?
    /// Default 50.
    package var requestVolume: Int?

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("threshold", &threshold, .range(1...100))
      visitor.field("minimumHosts", &minimumHosts, .range(1...10_000))
      visitor.field("requestVolume", &requestVolume, .range(1...1_000_000))
    }
  }
}
