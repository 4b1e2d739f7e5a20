import Synchronization

/// What can be set on a demo service while it runs.
package struct DemoSettings: Sendable, Equatable {
  /// How long it takes to answer, milliseconds; 0 to 60000.
  package var latencyMilliseconds: Int
  /// Share of requests answered with 500, per cent; 0 to 100.
  package var errorPercent: Double

  package static let latencyBounds = 0...60_000
  package static let errorBounds = 0.0...100.0

  package init(latencyMilliseconds: Int = 0, errorPercent: Double = 0) {
    self.latencyMilliseconds = latencyMilliseconds
    self.errorPercent = errorPercent
  }

  /// Changes what the parameters name.
  /// - Returns: what is wrong, if something is; nothing is changed then.
  package mutating func change(_ parameters: [String: String]) -> String? {
    var changed = self
    for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
      switch name {
      case "latency-ms":
        guard let number = Int(value), Self.latencyBounds.contains(number) else {
          return "latency-ms must be a whole number from 0 to 60000, not \"\(value)\""
        }
        changed.latencyMilliseconds = number
      case "error-percent":
        guard let number = Double(value), Self.errorBounds.contains(number) else {
          return "error-percent must be a number from 0 to 100, not \"\(value)\""
        }
        changed.errorPercent = number
      default:
        return "there is no setting \"\(name)\"; there are latency-ms and error-percent"
      }
    }
    self = changed
    return nil
  }

  package var json: String { "{\"latency-ms\":\(latencyMilliseconds),\"error-percent\":\(errorPercent)}\n" }
}
