package import MeshTLS

/// When the proxy asks for a certificate, and by what it shows who it is. The shell makes key and request, sends them,
/// and tells what came of it.
///
/// It asks at half of the certificate's life, gives up never, and goes on asking after the end, so that a proxy heals
/// by itself once the authority is back. While the old certificate holds it stays in use.
package struct CertificateMachine: Sendable {
  /// By what a request is authenticated.
  package enum Proof: Sendable, Equatable {
    /// The join token, on a connection without client certificate: first contact.
    case token
    /// The certificate in use, as the connection's client certificate.
    case certificate
    /// Both: the certificate has ended, or was refused; the authority takes whichever still counts.
    case certificateAndToken
  }

  package enum Step: Sendable, Equatable {
    /// Make a new key and ask for a certificate now.
    case request(Proof)
    /// Nothing before this many seconds have passed.
    case wait(seconds: Double)
    /// A request is on its way; `issued` or `failed` ends it.
    case awaitAnswer
  }

  private enum State: Sendable {
    case idle(dueSeconds: Double)
    case asking
  }

  private var schedule: RotationSchedule?
  private var state = State.idle(dueSeconds: 0)
  private var wasRefused = false
  /// Attempts that failed since the last success.
  package private(set) var failures = 0

  /// Begins without a certificate.
  package init() {}

  /// Begins with the certificate of an earlier run, which is renewed when its time has come.
  ///
  /// - Parameter chance: evenly from 0 up to 1; spreads the renewals of a fleet.
  package init(cached: RotationSchedule, nowSeconds: Double, chance: Double) {
    schedule = cached
    state = .idle(dueSeconds: nowSeconds + cached.renewalDelaySeconds(nowSeconds: nowSeconds, chance: chance))
  }

  /// Whether the certificate in use still holds; nil: there is none.
  package func standing(nowSeconds: Double) -> RotationSchedule.Standing? {
    schedule?.standing(nowSeconds: nowSeconds)
  }

  /// What to do now.
  package func next(nowSeconds: Double) -> Step {
    switch state {
    case .asking: return .awaitAnswer
    case .idle(let due) where due > nowSeconds: return .wait(seconds: due - nowSeconds)
    case .idle: return .request(proof(nowSeconds: nowSeconds))
    }
  }

  private func proof(nowSeconds: Double) -> Proof {
    guard let schedule else { return .token }
    if case .valid = schedule.standing(nowSeconds: nowSeconds), !wasRefused { return .certificate }
    return .certificateAndToken
  }

  /// The request has been sent.
  package mutating func asked() { state = .asking }

  /// A certificate came and is in use from now on.
  package mutating func issued(notAfterSeconds: Int64, nowSeconds: Double, chance: Double) {
    let received = Int64(exactly: nowSeconds.rounded(.down)) ?? 0
    let schedule = RotationSchedule(receivedSeconds: received, notAfterSeconds: notAfterSeconds)
    self.schedule = schedule
    failures = 0
    wasRefused = false
    // A certificate that comes expired (clocks that differ) must not be asked for in a tight circle.
    let delay = max(0.5, schedule.renewalDelaySeconds(nowSeconds: nowSeconds, chance: chance))
    state = .idle(dueSeconds: nowSeconds + delay)
  }

  /// Nothing came of the request.
  ///
  /// - Parameter isRefusal: the authority answered, and did not believe who asks.
  package mutating func failed(isRefusal: Bool, nowSeconds: Double, chance: Double) {
    failures = min(failures + 1, 1000)
    wasRefused = wasRefused || isRefusal
    let schedule = self.schedule ?? RotationSchedule(receivedSeconds: 0, notAfterSeconds: 86_400)
    state = .idle(dueSeconds: nowSeconds + schedule.retryDelaySeconds(failures: failures, chance: chance))
  }

  /// The authority has become reachable: what waits after a failure may be tried at once.
  package mutating func authorityIsBack(nowSeconds: Double) {
    if failures > 0, case .idle = state { state = .idle(dueSeconds: nowSeconds) }
  }
}
