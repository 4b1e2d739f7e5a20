package import MeshWire

/// The proxy's half of `apus.v1.WorkloadService/Attach`: registers the workload, says how it is, reports statistics.
///
/// Statistics are counted on while there is no stream; the first report after a reconnect carries them all.
package struct AttachMachine: Sendable {
  /// Bounds of the interval that the control plane may ask for.
  package static let shortestInterval: Duration = .milliseconds(100)
  package static let longestInterval: Duration = .seconds(60)

  package private(set) var registration: Registration
  package private(set) var health: HealthReport
  /// How often to report; 1 s until the control plane says otherwise.
  package private(set) var interval: Duration = .seconds(1)
  private var isOpen = false
  private var isAnswered = false
  private var lastReport: Duration
  private var sequence: UInt64 = 0

  /// - Parameter now: a monotonic clock; reports tell how long they cover.
  package init(registration: Registration, health: Health = .healthy, now: Duration) {
    self.registration = registration
    self.health = HealthReport()
    self.health.health = health
    lastReport = now
  }

  /// Whether the control plane knows the workload.
  package var isAttached: Bool { isOpen && isAnswered }

  /// A stream is open. Returns its first message.
  package mutating func opened() -> AttachRequest {
    isOpen = true
    isAnswered = false
    var request = AttachRequest()
    request.registration = registration
    request.health = health
    return request
  }

  /// The stream has gone.
  package mutating func closed() {
    isOpen = false
    isAnswered = false
  }

  /// The control plane said something.
  package mutating func received(_ response: AttachResponse) {
    isAnswered = true
    guard response.reportIntervalMilliseconds > 0 else { return }
    let asked = Duration.milliseconds(Int64(response.reportIntervalMilliseconds))
    interval = min(max(asked, Self.shortestInterval), Self.longestInterval)
  }

  /// The workload is to be known otherwise, as when a listener got another port. Returns what to send now, if anything.
  package mutating func changed(_ registration: Registration) -> AttachRequest? {
    guard registration != self.registration else { return nil }
    self.registration = registration
    guard isOpen else { return nil }
    var request = AttachRequest()
    request.registration = registration
    request.health = health
    return request
  }

  /// The application's health has changed, or the proxy begins to drain. Returns what to send now, if anything.
  package mutating func changed(_ health: Health, message: String = "") -> AttachRequest? {
    guard health != self.health.health else { return nil }
    self.health.health = health
    self.health.message = message
    guard isOpen else { return nil }
    var request = AttachRequest()
    request.health = self.health
    return request
  }

  /// How long until the next report is due; nil while there is nobody to report to.
  package func delayToReport(now: Duration) -> Duration? {
    isAttached ? max(.zero, lastReport + interval - now) : nil
  }

  /// Makes the report that is due out of what was counted since the last one.
  package mutating func report(_ counted: StatisticsReport, now: Duration) -> AttachRequest {
    sequence &+= 1
    var report = counted
    report.sequence = sequence
    let (seconds, attoseconds) = max(.zero, now - lastReport).components
    let milliseconds = min(seconds, 1_000_000) * 1000 + attoseconds / 1_000_000_000_000_000
    report.intervalMilliseconds = UInt32(clamping: milliseconds)
    lastReport = now
    var request = AttachRequest()
    request.statistics = report
    return request
  }
}
