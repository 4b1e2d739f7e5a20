import MeshModel

/// The order among the matches of GRPCRoutes: the longest service, then the longest method, whatever they are compared by
/// (Gateway API `GRPCRouteRule.matches`). A route table takes exact paths first, then expressions, then prefixes; where
/// all of a table's matches are plain names that comes to the same, and where an expression is among them it does not.
enum GRPCOrder {
  /// The matches in a form in which the table's order is that of GRPCRoutes: as they are, or all as expressions.
  static func arranged(_ matches: [RankedMatch]) -> [RankedMatch] {
    guard matches.contains(where: { $0.match.grpc != nil && isExpression($0.match.path) }) else { return matches }
    return matches.map { item in
      var arranged = item
      if item.match.grpc != nil { arranged.match.path = expression(item.match.path) }
      return arranged
    }
  }

  private static func isExpression(_ path: PathMatch) -> Bool { if case .regex = path { true } else { false } }

  private static func expression(_ path: PathMatch) -> PathMatch {
    switch path {
    case .regex: path
    case .exact(let text): .regex(escaped(text))
    // The root stays what it is: the last, as the match without a name has to be.
    case .prefix("/"): path
    case .prefix(let text): .regex(escaped(text) + "(?:/.*)?")
    }
  }

  private static func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      if "\\.+*?()|[]{}^$".contains(character) { result.append("\\") }
      result.append(character)
    }
  }
}

extension GRPCRank {
  /// Whether a match of this rank goes before one of the other.
  func precedes(_ other: GRPCRank) -> Bool {
    (serviceLength, methodLength) > (other.serviceLength, other.methodLength)
  }
}
