/// One rule: which requests, what is done to them, where they go.
package struct HTTPRouteRule: RequestRouteRule {
  package var name: String?
  /// One of them must hold.
  package var matches: [HTTPRouteMatch] = [HTTPRouteMatch()]
  package var filters: [HTTPRouteFilter] = []
  package var backendRefs: [BackendReference] = []
  package var timeouts: RouteTimeouts?
  package var retry: RouteRetry?
  package var sessionPersistence: RouteSessionPersistence?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("name", &name, .length(1...253), .format(.dnsSubdomain))
    visitor.field("matches", &matches, .items(0...64))
    visitor.field("filters", &filters, .items(0...16))
    visitor.field("backendRefs", &backendRefs, .items(0...16))
    visitor.field("timeouts", &timeouts)
    visitor.field("retry", &retry)
    visitor.field("sessionPersistence", &sessionPersistence)
  }

  package func check(path: String, into report: ViolationReport) {
    HTTPRouteFilter.checkTogether(filters, path: "\(path).filters", into: report)
    if !backendRefs.isEmpty, filters.contains(where: { $0.requestRedirect != nil }) {
      report.add(
        .forbidden, at: "\(path).backendRefs",
        "a rule that redirects sends nothing on; remove backendRefs or the "
          + "RequestRedirect filter")
    }
    BackendReference.checkWeights(backendRefs, path: "\(path).backendRefs", into: report)
    checkPrefixReplacement(filters, at: "\(path).filters", path: path, into: report)
    for (index, backend) in backendRefs.enumerated() {
      checkPrefixReplacement(backend.filters, at: "\(path).backendRefs[\(index)].filters", path: path, into: report)
    }
  }

  /// Replacing the prefix that matched needs to know which one did.
  private func checkPrefixReplacement(
    _ filters: [HTTPRouteFilter], at place: String, path: String, into report: ViolationReport
  ) {
    let isClear = matches.isEmpty || (matches.count == 1 && matches[0].path.type == .pathPrefix)
    guard !isClear else { return }
    for (index, filter) in filters.enumerated() {
      let named = [("requestRedirect", filter.requestRedirect?.path), ("urlRewrite", filter.urlRewrite?.path)]
      for (name, modifier) in named where modifier?.type == .replacePrefixMatch {
        report.add(
          .invalid, at: "\(place)[\(index)].\(name).path",
          "replacePrefixMatch needs exactly one match, of type PathPrefix; split \(path) into rules with one match each"
        )
      }
    }
  }
}

/// All parts that are given must hold.
package struct HTTPRouteMatch: FieldObject, Equatable {
  package var path = PathMatch()
  package var headers: [HeaderMatch] = []
  package var queryParams: [QueryParamMatch] = []
  /// Absent: any.
  package var method: HTTPMethodName?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("path", &path)
    visitor.field("headers", &headers, .items(0...16), .uniqueIgnoringCase("name"))
    visitor.field("queryParams", &queryParams, .items(0...16), .uniqueBy("name"))
    visitor.field("method", &method)
  }

  package struct PathMatch: FieldObject, Equatable {
    package enum Kind: String, FieldEnum {
      case exact = "Exact"
      /// By whole elements of the path.
      case pathPrefix = "PathPrefix"
      /// RE2 syntax, the whole path.
      case regularExpression = "RegularExpression"
    }

    package var type = Kind.pathPrefix
    package var value = "/"

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type)
      visitor.field("value", &value, .length(0...1024))
    }

    package func check(path: String, into report: ViolationReport) {
      if type == .regularExpression {
        RegularExpressionCheck.check(value, path: "\(path).value", into: report)
        return
      }
      let here = "\(path).value"
      if !value.hasPrefix("/") {
        report.add(.invalid, at: here, "\(quoted(value)) is not absolute; begin it with \"/\"")
      }
      for part in ["//", "/./", "/../", "%2f", "%2F", "#"] where value.contains(part) {
        report.add(
          .invalid, at: here, "\(quoted(value)) contains \"\(part)\", which no canonical path does; take it out")
      }
      for end in ["/..", "/."] where value.hasSuffix(end) {
        report.add(
          .invalid, at: here, "\(quoted(value)) ends with \"\(end)\", which no canonical path does; take it off")
      }
      if !Self.isPathText(value) {
        report.add(
          .invalid, at: here,
          "\(quoted(value)) has characters that no path has; write them percent-encoded, like %20 for a space")
      }
    }

    private static func isPathText(_ text: String) -> Bool {
      let bytes = Array(text.utf8)
      var index = 0
      while index < bytes.count {
        if bytes[index] == UInt8(ascii: "%") {
          guard index + 2 < bytes.count, isHex(bytes[index + 1]), isHex(bytes[index + 2]) else { return false }
          index += 3
        } else {
          guard TextFormat.isAlphanumeric(bytes[index]) || "-/._~!$&'()*+,;=:@#".utf8.contains(bytes[index]) else {
            return false
          }
          index += 1
        }
      }
      return true
    }

    private static func isHex(_ byte: UInt8) -> Bool { Character(Unicode.Scalar(byte)).isHexDigit }
  }

  package enum ValueMatchKind: String, FieldEnum {
    case exact = "Exact"
    /// RE2 syntax, the whole value.
    case regularExpression = "RegularExpression"
  }

  package struct HeaderMatch: FieldObject, Equatable {
    package var type = ValueMatchKind.exact
    package var name = ""
    package var value = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type)
      visitor.field("name", &name, .required, .length(1...256), .format(.token))
      visitor.field("value", &value, .required, .length(1...4096), .format(.headerValue))
    }

    package func check(path: String, into report: ViolationReport) {
      guard type == .regularExpression else { return }
      RegularExpressionCheck.check(value, path: "\(path).value", into: report)
    }
  }

  package struct QueryParamMatch: FieldObject, Equatable {
    package var type = ValueMatchKind.exact
    package var name = ""
    package var value = ""

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("type", &type)
      visitor.field("name", &name, .required, .length(1...256), .format(.token))
      visitor.field("value", &value, .required, .length(1...1024))
    }

    package func check(path: String, into report: ViolationReport) {
      guard type == .regularExpression else { return }
      RegularExpressionCheck.check(value, path: "\(path).value", into: report)
    }
  }
}

/// The methods that a match can name.
package enum HTTPMethodName: String, FieldEnum {
  case get = "GET"
  case head = "HEAD"
  case post = "POST"
  case put = "PUT"
  case delete = "DELETE"
  case connect = "CONNECT"
  case options = "OPTIONS"
  case trace = "TRACE"
  case patch = "PATCH"
}

/// Limits of time. `0s` means none.
package struct RouteTimeouts: FieldObject, Equatable {
  /// From the request's first byte to the end of the response, all tries together.
  package var request: GatewayDuration?
  /// One try.
  package var backendRequest: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("request", &request)
    visitor.field("backendRequest", &backendRequest)
  }

  package func check(path: String, into report: ViolationReport) {
    if let request, let backendRequest, request.milliseconds > 0, backendRequest > request {
      report.add(
        .invalid, at: "\(path).backendRequest",
        "\(backendRequest.text) is longer than request, \(request.text); make it at most as long")
    }
  }
}

/// Retries of a rule (GEP-1731).
package struct RouteRetry: FieldObject, Equatable {
  package var attempts: Int?
  package var codes: [Int] = []
  package var backoff: GatewayDuration?

  package init() {}

  package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
    visitor.field("attempts", &attempts, .range(1...10))
    visitor.field("codes", &codes, .items(0...64), .each(.range(400...599)))
    visitor.field("backoff", &backoff)
  }

  package func check(path: String, into report: ViolationReport) {
    checkNoRepeat(codes, path: "\(path).codes", into: report)
    backoff?.checkBounds(path: "\(path).backoff", longest: 60, into: report)
  }
}
