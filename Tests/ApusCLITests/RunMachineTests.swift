import ApusCLI
import Testing

struct RunMachineTests {
  /// A machine whose application runs.
  private func running() -> RunMachine {
    var machine = RunMachine()
    _ = machine.start()
    _ = machine.handle(.sidecarReady)
    return machine
  }

  @Test func theApplicationStartsOnlyOnceTheSidecarIsReady() {
    var machine = RunMachine()
    #expect(machine.start() == [.startSidecar, .arm(.readiness, .seconds(60))])
    #expect(machine.handle(.sidecarReady).contains(.startApplication))
    #expect(!machine.handle(.sidecarReady).contains(.startApplication))
  }

  @Test func theSidecarGoesAfterTheApplicationAndTheStatusIsTheApplications() {
    var machine = running()
    let actions = machine.handle(.applicationExited(7))
    #expect(actions.contains(.signalSidecar(15)))
    #expect(!actions.contains(.exit(7)))
    #expect(machine.handle(.sidecarExited(0)) == [.exit(7)])
  }

  @Test(arguments: [1, 2, 3, 10, 12, 15] as [Int32])
  func signalsArePassedOnToTheApplicationOnly(signal: Int32) {
    var machine = running()
    #expect(machine.handle(.signal(signal, reachedAll: false)) == [.signalApplication(signal)])
  }

  @Test func aSignalOfTheTerminalIsNotGivenTwice() {
    var machine = running()
    #expect(machine.handle(.signal(2, reachedAll: true)) == [])
  }

  @Test func aSidecarThatDiesIsStartedAgainWithGrowingPausesAndTheApplicationIsLeftAlone() {
    var machine = running()
    var pauses: [Duration] = []
    for _ in 0..<10 {
      for action in machine.handle(.sidecarExited(139)) {
        if case .arm(.restart, let pause) = action { pauses.append(pause) }
        if case .signalApplication = action { Issue.record("the application was signalled") }
      }
      #expect(machine.handle(.timer(.restart)).contains(.startSidecar))
      #expect(!machine.handle(.sidecarReady).contains(.startApplication))
    }
    #expect(pauses.first == .milliseconds(100))
    #expect(pauses == pauses.sorted())
    #expect(pauses.last == .seconds(10))
    _ = machine.handle(.timer(.settled))
    #expect(machine.handle(.sidecarExited(1)).contains(.arm(.restart, .milliseconds(100))))
  }

  @Test func aDrainedSidecarTakesTheApplicationAlong() {
    var machine = running()
    let actions = machine.handle(.sidecarExited(0))
    #expect(actions.contains(.signalApplication(15)))
    #expect(!actions.contains { if case .arm(.restart, _) = $0 { true } else { false } })
    #expect(machine.handle(.timer(.settled)) == [])
    #expect(machine.handle(.signal(10, reachedAll: false)) == [.signalApplication(10)])
    #expect(machine.handle(.applicationExited(3)) == [.exit(3)])
  }

  @Test func anApplicationIsLookedAtOnceAfterATimeToListen() {
    var machine = RunMachine()
    _ = machine.start()
    #expect(machine.handle(.sidecarReady).contains(.arm(.listening, .seconds(10))))
    #expect(machine.handle(.timer(.listening)) == [.lookForListener])
    _ = machine.handle(.sidecarExited(1))
    _ = machine.handle(.timer(.restart))
    let again = machine.handle(.sidecarReady)
    #expect(!again.contains { if case .arm(.listening, _) = $0 { true } else { false } })
    _ = machine.handle(.applicationExited(0))
    #expect(machine.handle(.timer(.listening)) == [])
  }

  @Test func aSidecarThatNeverBecomesReadyIsTriedThreeTimesThenItIsAFailure() {
    var machine = RunMachine()
    _ = machine.start()
    for _ in 0..<2 {
      #expect(machine.handle(.sidecarExited(1)).contains { if case .arm(.restart, _) = $0 { true } else { false } })
      #expect(machine.handle(.timer(.restart)).contains(.startSidecar))
    }
    #expect(machine.handle(.sidecarExited(1)) == [.fail("the proxy did not become ready: exit status 1")])
  }

  @Test func aSidecarThatHangsAtItsStartIsKilled() {
    var machine = RunMachine()
    _ = machine.start()
    #expect(machine.handle(.timer(.readiness)).first == .signalSidecar(9))
  }

  @Test func askedToEndBeforeTheApplicationRanItNeverStarts() {
    var machine = RunMachine()
    _ = machine.start()
    #expect(machine.handle(.signal(15, reachedAll: false)).contains(.signalSidecar(15)))
    #expect(machine.handle(.sidecarReady) == [])
    #expect(machine.handle(.sidecarExited(0)) == [.exit(143)])
  }

  @Test func anApplicationThatEndsWhileTheSidecarIsAwayEndsAll() {
    var machine = running()
    _ = machine.handle(.sidecarExited(1))
    #expect(machine.handle(.applicationExited(0)) == [.exit(0)])
  }

  @Test func aSidecarThatDoesNotDrainInTimeIsKilled() {
    var machine = running()
    #expect(machine.handle(.applicationExited(0)).contains(.arm(.drain, .seconds(15))))
    #expect(machine.handle(.timer(.drain)) == [.signalSidecar(9)])
    #expect(machine.handle(.sidecarExited(137)) == [.exit(0)])
  }

  @Test func askedASecondTimeItWaitsNoLonger() {
    var machine = running()
    _ = machine.handle(.applicationExited(130))
    #expect(machine.handle(.signal(2, reachedAll: true)) == [.signalSidecar(9)])
  }
}
