/// Copies a share of the requests to another service; its answers are thrown away.
package struct RequestMirror: FieldObject, Equatable {
  package var backendRef = BackendObjectReference()
  /// Share in per cent; absent, as with `fraction`: all.
  package var percent: Int?
  package var fraction: Fraction?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("backendRef", &backendRef, .required)
    visitor.field("percent", &percent, .range(0...100))
    visitor.field("fraction", &fraction)
  }

  package func check(path: String, into report: ViolationReport) {
    guard percent != nil, fraction != nil else { return }
    report.add(.forbidden, at: "\(path).fraction", "does not go with percent; remove one of them")
  }

  /// The share as a fraction.
  var share: (numerator: Int, denominator: Int) {
    if let fraction { return (fraction.numerator, fraction.denominator) }
    return percent.map { ($0, 100) } ?? (1, 1)
  }

  package struct Fraction: FieldObject, Equatable {
    package var numerator = 0
    package var denominator = 100

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("numerator", &numerator, .required, .range(0...2_147_483_647))
      visitor.field("denominator", &denominator, .range(1...2_147_483_647))
    }

    package func check(path: String, into report: ViolationReport) {
      guard numerator > denominator else { return }
      report.add(
        .invalid, at: "\(path).numerator", "\(numerator) is more than the denominator, \(denominator); make it smaller")
    }
  }
}

/// A service's port without a weight.
package struct BackendObjectReference: FieldObject, Equatable {
  package var group = ""
  package var kind = "Service"
  package var name = ""
  /// Absent: the route's own.
  package var namespace: String?
  package var port: Int?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("group", &group, .length(0...253), .format(.apiGroup))
    visitor.field("kind", &kind, .format(.kindName))
    visitor.field("name", &name, .required, .length(1...253))
    visitor.field("namespace", &namespace, .format(.dnsLabel))
    visitor.field("port", &port, .range(1...65_535))
  }

  package func check(path: String, into report: ViolationReport) {
    guard group.isEmpty, kind == "Service", port == nil else { return }
    report.add(.required, at: "\(path).port", "is missing; a Service is referred to with one of its ports")
  }

  /// The same as one of a rule's backends.
  var reference: BackendReference {
    var reference = BackendReference()
    reference.group = group
    reference.kind = kind
    reference.name = name
    reference.namespace = namespace
    reference.port = port
    return reference
  }
}
