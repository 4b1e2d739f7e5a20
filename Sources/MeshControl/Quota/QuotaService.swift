package import MeshPolicy
package import MeshWire

/// Knows the limits that proxies may share.
package protocol QuotaLimits: Sendable {
  /// The limits of these names that are in force; others are left out.
  func quotas(_ names: Set<String>) async -> [String: RateLimitSettings]
}

/// Divides the limits that all proxies share among them, several times a second, as long as there is anything to divide.
package actor QuotaService {
  /// Time from one division to the next.
  package static let round: Duration = .milliseconds(50)

  private var table = QuotaTable()
  private var links: [UInt64: @Sendable (QuotaGrants) -> Void] = [:]
  private var rounds: Task<Void, Never>?
  private let limits: any QuotaLimits
  private let now: @Sendable () -> Duration

  /// - Parameters:
  ///   - limits: which limits there are.
  ///   - now: a monotonic clock.
  package init(limits: any QuotaLimits, now: @escaping @Sendable () -> Duration) {
    self.limits = limits
    self.now = now
  }

  /// A proxy can be told from now on.
  /// - Parameter send: takes a message to the proxy. Must not wait.
  package func open(stream: UInt64, send: @escaping @Sendable (QuotaGrants) -> Void) { links[stream] = send }

  /// The proxy has gone; its part goes to the others.
  package func close(stream: UInt64) {
    links[stream] = nil
    table.close(stream: stream)
  }

  /// Takes a proxy's report; the answer follows with the next division.
  package func report(_ report: QuotaReport, stream: UInt64) async {
    let settings = await limits.quotas(Set(report.quotas.map(\.quota)))
    // The stream may have gone in the meantime.
    guard links[stream] != nil else { return }
    table.report(report, stream: stream, settings: settings, now: nanoseconds)
    guard rounds == nil else { return }
    rounds = Task { [weak self] in
      while !Task.isCancelled {
        try? await Task.sleep(for: Self.round)
        guard await self?.divide() == true else { return }
      }
    }
  }

  private var nanoseconds: Int64 {
    let (seconds, attoseconds) = now().components
    return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
  }

  /// One division. False: there is nothing left to do.
  private func divide() -> Bool {
    for (stream, grants) in table.round(now: nanoseconds) { links[stream]?(grants) }
    guard table.isActive else {
      rounds = nil
      return false
    }
    return true
  }
}
