import MeshControl

/// An error as the Kubernetes API tells it: an object of kind `Status`.
struct StatusAnswer: Error {
  /// HTTP status.
  var code: Int
  /// One word for programs: `NotFound`, `Conflict`, `Invalid` …
  var reason: String
  /// For people.
  var message: String
  var causes: [Violation] = []

  static func badRequest(_ message: String) -> StatusAnswer {
    StatusAnswer(code: 400, reason: "BadRequest", message: message)
  }

  static func notFound(_ message: String) -> StatusAnswer {
    StatusAnswer(code: 404, reason: "NotFound", message: message)
  }

  static func methodNotAllowed(_ message: String) -> StatusAnswer {
    StatusAnswer(code: 405, reason: "MethodNotAllowed", message: message)
  }

  /// Every violation, each with its field; nothing was changed.
  static func invalid(_ violations: [Violation], omittedCount: Int = 0) -> StatusAnswer {
    let count = violations.count + omittedCount
    let shown = violations.prefix(3).map { $0.path.isEmpty ? $0.message : "\($0.path): \($0.message)" }
    let rest = count > shown.count ? " (and \(count - shown.count) more)" : ""
    return StatusAnswer(
      code: 422, reason: "Invalid",
      message: "\(count == 1 ? "one mistake" : "\(count) mistakes"), nothing was changed: "
        + shown.joined(separator: "; ") + rest,
      causes: violations)
  }

  init(code: Int, reason: String, message: String, causes: [Violation] = []) {
    self.code = code
    self.reason = reason
    self.message = message
    self.causes = causes
  }

  init(_ error: StoreError) {
    switch error {
    case .notFound: self.init(code: 404, reason: "NotFound", message: error.message)
    case .alreadyExists: self.init(code: 409, reason: "AlreadyExists", message: error.message)
    case .conflict: self.init(code: 409, reason: "Conflict", message: error.message)
    case .gone: self.init(code: 410, reason: "Expired", message: error.message)
    case .full: self.init(code: 507, reason: "InsufficientStorage", message: error.message)
    case .locked: self.init(code: 503, reason: "ServiceUnavailable", message: error.message)
    case .corrupt, .unavailable: self.init(code: 500, reason: "InternalError", message: error.message)
    }
  }

  var value: Value {
    var members: [Value.Member] = [
      Value.Member("kind", .string("Status")), Value.Member("apiVersion", .string("v1")),
      Value.Member("metadata", .object([])), Value.Member("status", .string("Failure")),
      Value.Member("message", .string(message)), Value.Member("reason", .string(reason)),
    ]
    if !causes.isEmpty {
      let list = causes.map { cause in
        Value.object([
          Value.Member("reason", .string(cause.reason.rawValue)), Value.Member("message", .string(cause.message)),
          Value.Member("field", .string(cause.path)),
        ])
      }
      members.append(Value.Member("details", .object([Value.Member("causes", .list(list))])))
    }
    members.append(Value.Member("code", .integer(code)))
    return .object(members)
  }
}
