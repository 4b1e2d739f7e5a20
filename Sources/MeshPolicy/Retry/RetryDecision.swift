package import MeshModel

/// How an attempt failed.
package enum AttemptFailure: Equatable, Sendable, BitwiseCopyable {
  /// The connection could not be made; nothing was sent.
  case connectFailure
  /// The endpoint did not process the request, and said so or cannot have.
  case refusedStream
  /// The connection ended before a byte of the answer came.
  case resetBeforeResponse
  /// The time for one try was up before the answer's head came.
  case perTryTimeout
  /// An answer with this status.
  case status(UInt16)
  /// A call of gRPC was answered with this `grpc-status` and nothing else.
  case grpcStatus(UInt8)
}

/// What to do about a failed attempt.
package enum RetryDecision: Equatable, Sendable, BitwiseCopyable {
  /// Try again after this time. The retry is counted in the budget and the breaker: release the breaker's `.retries`
  /// when it ends.
  case retry(afterNanoseconds: Int64)
  /// The policy would, and something else does not allow it: `retry_limit`, `retry_budget_exhausted`,
  /// `circuit_open_retries`, `retry_body_too_large`, or `request_timeout` where the time left is shorter than the wait.
  case giveUp(Reason)
  /// The policy does not retry this: pass on the answer, or the failure's own reason.
  case notRetriable
}

/// What is known of the request whose attempt failed.
package struct AttemptContext: Sendable, BitwiseCopyable {
  package var method: Method
  /// Attempts made so far, the failed one included; at least 1.
  package var attempts: UInt8
  /// Whether all of the body that was sent is kept (64 KiB are), so that it can be sent again.
  package var isReplayable: Bool
  /// Whether a byte of the answer has been passed on to the client: then there is no way back.
  package var isAnswerBegun: Bool
  /// When the whole request must be done, monotonic nanoseconds; `.max` for never.
  package var deadline: Int64
  /// What the endpoint itself says about repeating (`grpc-retry-pushback-ms`).
  package var pushback: RetryPushback

  package init(
    method: Method, attempts: UInt8, isReplayable: Bool = true, isAnswerBegun: Bool = false, deadline: Int64 = .max,
    pushback: RetryPushback = .none
  ) {
    self.pushback = pushback
    self.method = method
    self.attempts = attempts
    self.isReplayable = isReplayable
    self.isAnswerBegun = isAnswerBegun
    self.deadline = deadline
  }
}

/// What an endpoint says about repeating a call (gRPC, proposal A6, "Pushback").
package enum RetryPushback: Equatable, Sendable, BitwiseCopyable {
  /// Nothing: the policy decides.
  case none
  /// Not at all.
  case never
  /// Not before this time has passed.
  case after(nanoseconds: Int64)
}

/// Decides on retries.
package enum RetryPolicy {
  /// Whether to repeat a request after its attempt failed; takes from the budget and the breaker only when it does.
  package static func decide(
    _ failure: AttemptFailure, _ context: AttemptContext, _ settings: RetrySettings, budget: inout RetryBudget,
    breaker: inout Breaker, now: Int64, random: inout FastRandom
  ) -> RetryDecision {
    guard settings.retries > 0, !context.isAnswerBegun, isWanted(failure, context.method, settings) else {
      return .notRetriable
    }
    guard context.attempts <= settings.retries else { return .giveUp(.retryLimit) }
    guard context.isReplayable else { return .giveUp(.retryBodyTooLarge) }
    if case .never = context.pushback { return .notRetriable }
    var wait = backoff(retry: context.attempts, settings, &random)
    if case .after(let nanoseconds) = context.pushback { wait = nanoseconds }
    guard context.deadline == .max || now &+ wait < context.deadline else { return .giveUp(.requestTimeout) }
    if let reason = breaker.acquire(.retries) { return .giveUp(reason) }
    guard budget.withdraw(now: now) else {
      breaker.release(.retries)
      return .giveUp(.retryBudgetExhausted)
    }
    return .retry(afterNanoseconds: wait)
  }

  /// Whether the policy repeats such a request after such a failure, limits apart.
  package static func isWanted(_ failure: AttemptFailure, _ method: Method, _ settings: RetrySettings) -> Bool {
    let conditions = settings.conditions
    let all = conditions.contains(.allMethods)
    switch failure {
    case .connectFailure: return conditions.contains(.connectFailure)
    case .refusedStream: return conditions.contains(.refusedStream)
    case .resetBeforeResponse:
      return conditions.contains(.resetBeforeResponse) && (all || method.isIdempotent)
    case .perTryTimeout: return conditions.contains(.perTryTimeout) && (all || method.isIdempotent)
    case .grpcStatus(let status):
      let wanted = RetryConditions.grpc(status)
      return !wanted.isEmpty && conditions.contains(wanted)
    case .status(let status):
      guard conditions.contains(.status), settings.statuses.contains(status) else { return false }
      return all || method.isSafe || (conditions.contains(.statusForIdempotent) && method.isIdempotent)
    }
  }

  /// How long to wait before the `retry`-th retry, from 1: a random time below the base doubled `retry` - 1 times, and
  /// below the maximum ("full jitter": it spreads a storm best).
  package static func backoff(retry: UInt8, _ settings: RetrySettings, _ random: inout FastRandom) -> Int64 {
    let doublings = Int64(min(max(retry, 1), 30)) &- 1
    let base = max(0, min(settings.baseBackoffNanoseconds, 60_000_000_000))
    return random.below(min(base << doublings, max(0, settings.maxBackoffNanoseconds)))
  }
}
