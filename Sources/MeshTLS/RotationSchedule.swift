/// When to renew a certificate: at half of its life, a little earlier or later so that a fleet does not ask at once,
/// and again and again after a failure, the end of its life included. Pure: the clock and the chance are arguments.
package struct RotationSchedule: Sendable, Equatable {
  /// When the certificate was received, in seconds since 1970. Not its notBefore: authorities backdate that for clocks
  /// that run late, and half of a short life would then be over before it began.
  package let receivedSeconds: Int64
  /// The certificate's end, in seconds since 1970.
  package let notAfterSeconds: Int64
  /// Half of the jitter's span, as a share of half of the life; 0.1 is ±10 %.
  package static let jitter = 0.1
  /// The first wait after a failure, at most; doubled by every further one.
  package static let firstRetrySeconds = 1.0
  /// The longest wait after a failure, unless the life is so short that a quarter of it is less.
  package static let longestRetrySeconds = 60.0

  package init(receivedSeconds: Int64, notAfterSeconds: Int64) {
    self.receivedSeconds = receivedSeconds
    self.notAfterSeconds = notAfterSeconds
  }

  private var life: Double { max(1, Double(notAfterSeconds) - Double(receivedSeconds)) }

  /// How long to wait before asking for the next certificate, in seconds; 0 if that is due.
  ///
  /// - Parameters:
  ///   - nowSeconds: seconds since 1970.
  ///   - chance: evenly from 0 up to 1.
  package func renewalDelaySeconds(nowSeconds: Double, chance: Double) -> Double {
    let spread = 1 + RotationSchedule.jitter * (2 * min(max(chance, 0), 1) - 1)
    return max(0, Double(receivedSeconds) + life / 2 * spread - nowSeconds)
  }

  /// How long to wait before asking once more, in seconds: exponential with full jitter, never none, never given up.
  ///
  /// - Parameters:
  ///   - failures: how many attempts failed in a row, from 1.
  ///   - chance: evenly from 0 up to 1.
  package func retryDelaySeconds(failures: Int, chance: Double) -> Double {
    let doublings = Double(min(max(failures, 1) - 1, 16))
    var ceiling = RotationSchedule.firstRetrySeconds
    for _ in 0..<Int(doublings) { ceiling *= 2 }
    ceiling = min(ceiling, RotationSchedule.longestRetrySeconds, life / 4)
    return max(0.05, ceiling * min(max(chance, 0), 1))
  }

  /// Whether the certificate can still be shown.
  package enum Standing: Equatable, Sendable {
    case valid(forSeconds: Double)
    case expired(sinceSeconds: Double)
  }

  package func standing(nowSeconds: Double) -> Standing {
    if nowSeconds <= Double(notAfterSeconds) { return .valid(forSeconds: Double(notAfterSeconds) - nowSeconds) }
    return .expired(sinceSeconds: nowSeconds - Double(notAfterSeconds))
  }
}
