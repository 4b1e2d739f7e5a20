import MeshProxy
import MeshTLS
import MeshWire
import Testing

@Suite struct ReconnectScheduleTests {
  @Test func waitsGrowToACeilingAndAreJittered() {
    var schedule = ReconnectSchedule()
    let waits = (0..<10).map { _ in schedule.lost(now: .zero, chance: 1) }
    #expect(waits.prefix(4) == [.milliseconds(400), .milliseconds(800), .milliseconds(1600), .milliseconds(3200)])
    #expect(waits.dropFirst(4).allSatisfy { $0 == .seconds(5) })
    #expect(schedule.lost(now: .zero, chance: 0) == .zero)
  }

  @Test func onlyAConnectionThatLastedStartsAnew() {
    var schedule = ReconnectSchedule()
    for _ in 0..<5 { _ = schedule.lost(now: .zero, chance: 1) }
    schedule.connected(now: .seconds(10))
    #expect(schedule.lost(now: .seconds(11), chance: 1) == .seconds(5), "it was dropped at once")
    schedule.connected(now: .seconds(20))
    #expect(schedule.lost(now: .seconds(25), chance: 1) == .milliseconds(400))
  }
}

@Suite struct CertificateMachineTests {
  @Test func firstContactIsByTokenAndRenewalByCertificateAtHalfLife() {
    var machine = CertificateMachine()
    #expect(machine.next(nowSeconds: 1000) == .request(.token))
    machine.asked()
    #expect(machine.next(nowSeconds: 1000) == .awaitAnswer)
    machine.issued(notAfterSeconds: 1100, nowSeconds: 1000, chance: 0.5)
    #expect(machine.next(nowSeconds: 1000) == .wait(seconds: 50))
    #expect(machine.next(nowSeconds: 1050) == .request(.certificate))
  }

  @Test func itGoesOnAskingAfterTheEndAndHeals() {
    var machine = CertificateMachine()
    machine.asked()
    machine.issued(notAfterSeconds: 1010, nowSeconds: 1000, chance: 0.5)
    var now = 1005.0
    var asked = 0
    while now < 1100 {
      switch machine.next(nowSeconds: now) {
      case .request(let proof):
        #expect(proof == (now <= 1010 ? .certificate : .certificateAndToken))
        asked += 1
        machine.asked()
        machine.failed(isRefusal: false, nowSeconds: now, chance: 1)
      case .wait(let seconds):
        #expect(seconds > 0 && seconds <= 60)
        now += seconds
      case .awaitAnswer: Issue.record("nothing is on its way")
      }
    }
    #expect(asked > 10)
    #expect(machine.standing(nowSeconds: now) == .expired(sinceSeconds: now - 1010))
    machine.authorityIsBack(nowSeconds: now)
    #expect(machine.next(nowSeconds: now) == .request(.certificateAndToken))
    machine.asked()
    machine.issued(notAfterSeconds: 2000, nowSeconds: now, chance: 0.5)
    #expect(machine.failures == 0)
    #expect(machine.standing(nowSeconds: now) == .valid(forSeconds: 2000 - now))
  }

  @Test func aRefusedCertificateIsHelpedByTheToken() {
    var machine = CertificateMachine()
    machine.issued(notAfterSeconds: 1100, nowSeconds: 1000, chance: 0.5)
    machine.asked()
    machine.failed(isRefusal: true, nowSeconds: 1050, chance: 0)
    #expect(machine.next(nowSeconds: 1060) == .request(.certificateAndToken))
  }

  @Test func aCertificateThatComesExpiredIsNotAskedForInACircle() {
    var machine = CertificateMachine()
    machine.issued(notAfterSeconds: 900, nowSeconds: 1000, chance: 0)
    guard case .wait(let seconds) = machine.next(nowSeconds: 1000) else {
      Issue.record("it asks at once")
      return
    }
    #expect(seconds >= 0.5)
  }

  @Test func aCachedCertificateIsRenewedWhenItsTimeHasCome() {
    let cached = RotationSchedule(receivedSeconds: 1000, notAfterSeconds: 1100)
    var early = CertificateMachine(cached: cached, nowSeconds: 1020, chance: 0.5)
    #expect(early.next(nowSeconds: 1020) == .wait(seconds: 30))
    early.asked()
    let late = CertificateMachine(cached: cached, nowSeconds: 1200, chance: 0.5)
    #expect(late.next(nowSeconds: 1200) == .request(.certificateAndToken))
  }
}

@Suite struct AttachMachineTests {
  private func machine() -> AttachMachine {
    var registration = Registration()
    registration.uid = "u1"
    return AttachMachine(registration: registration, now: .zero)
  }

  @Test func everyStreamBeginsWithRegistrationAndHealth() {
    var machine = machine()
    #expect(machine.changed(.draining) == nil, "nobody to tell")
    let first = machine.opened()
    #expect(first.registration?.uid == "u1")
    #expect(first.health?.health == .draining)
    machine.closed()
    #expect(machine.opened() == first)
    #expect(machine.changed(.healthy, message: "up")?.health?.health == .healthy)
    #expect(machine.changed(.healthy) == nil, "nothing new")
  }

  @Test func reportsGoOutAtTheIntervalOnceAnswered() {
    var machine = machine()
    _ = machine.opened()
    #expect(machine.delayToReport(now: .seconds(5)) == nil)
    var answer = AttachResponse()
    answer.reportIntervalMilliseconds = 2000
    machine.received(answer)
    #expect(machine.delayToReport(now: .milliseconds(500)) == .milliseconds(1500))
    #expect(machine.delayToReport(now: .seconds(5)) == .zero)
    let report = machine.report(StatisticsReport(), now: .seconds(5))
    #expect(report.statistics?.sequence == 1)
    #expect(report.statistics?.intervalMilliseconds == 5000)
    #expect(machine.report(StatisticsReport(), now: .seconds(7)).statistics?.sequence == 2)
    machine.closed()
    #expect(machine.delayToReport(now: .seconds(100)) == nil)
  }

  @Test(
    arguments: [(1, Duration.milliseconds(100)), (3_600_000, .seconds(60)), (0, .seconds(1))] as [(UInt32, Duration)])
  func theIntervalIsBounded(asked: UInt32, taken: Duration) {
    var machine = machine()
    var answer = AttachResponse()
    answer.reportIntervalMilliseconds = asked
    machine.received(answer)
    #expect(machine.interval == taken)
  }

  @Test func aChangedRegistrationIsSentWhileAStreamIsOpen() {
    var machine = machine()
    var other = machine.registration
    other.adminPort = 15000
    #expect(machine.changed(other) == nil)
    #expect(machine.opened().registration?.adminPort == 15000)
    other.adminPort = 15001
    #expect(machine.changed(other)?.registration?.adminPort == 15001)
    #expect(machine.changed(other) == nil)
  }
}
