import MeshControl
import MeshWire
import MeshXDS
import Testing

private func acknowledge(_ session: inout DeltaSession, _ response: DeltaDiscoveryResponse) throws {
  let type = try #require(ConfigType(typeURL: response.typeURL))
  _ = try session.receive(request(type, nonce: response.nonce))
}

private struct NothingToSend: Error {}

private func next(_ session: inout DeltaSession) throws -> DeltaDiscoveryResponse {
  guard let response = session.nextResponse() else { throw NothingToSend() }
  return response
}

private func acknowledgeNext(_ session: inout DeltaSession) throws {
  let response = try next(&session)
  try acknowledge(&session, response)
}

@Suite struct DeltaSessionTests {
  @Test func aWildcardSubscriberGetsEverythingOnceAndThenOnlyWhatChanged() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.workload))
    #expect(session.nextResponse() == nil, "nothing is known yet")
    session.update(view(1, [.workload: ["a": "1", "b": "1"]]))
    let first = try next(&session)
    #expect(first.resources.map(\.name) == ["a", "b"])
    #expect(first.resources[0].resource?.typeURL == ConfigType.workload.typeURL)
    #expect(first.systemVersion == "1")
    try acknowledge(&session, first)
    #expect(session.nextResponse() == nil)
    session.update(view(2, [.workload: ["a": "1", "b": "2", "c": "1"]]))
    let second = try next(&session)
    #expect(second.resources.map(\.name) == ["b", "c"])
    #expect(second.removed == [])
    #expect(second.nonce != first.nonce)
  }

  @Test func theFirstAnswerIsSentEvenWhenThereIsNothing() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(7, [:]))
    _ = try session.receive(request(.serviceConfig))
    let answer = try next(&session)
    #expect(answer.resources.isEmpty && answer.removed.isEmpty && answer.systemVersion == "7")
    try acknowledge(&session, answer)
    #expect(session.nextResponse() == nil)
    #expect(session.standing(of: .serviceConfig)?.ackedVersion == "7")
    #expect(session.standing(of: .serviceConfig)?.isSettled == true)
    #expect(session.standing(of: .workload) == nil)
  }

  @Test func nothingIsSentAgainAfterAReconnect() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(3, [.workload: ["a": "1", "b": "2"]]))
    let kept = ["a": version("1"), "b": version("1"), "gone": version("1")]
    _ = try session.receive(request(.workload, initial: kept))
    let changes = try next(&session)
    #expect(changes.resources.map(\.name) == ["b"])
    try acknowledge(&session, changes)
    let removals = try next(&session)
    #expect(removals.resources.isEmpty && removals.removed == ["gone"])
  }

  /// A revision is taken when everything of it is answered: additions, the parts of a large one, removals.
  @Test func aRevisionIsTakenWhenNothingOfItIsLeft() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.workload))
    _ = try session.receive(request(.serviceConfig))
    session.update(view(1, [.workload: ["a": "1", "b": "1"], .serviceConfig: ["s": "1"]]))
    func taken(_ type: ConfigType) -> UInt64? { session.standing(of: type)?.takenRevision }
    try acknowledgeNext(&session)
    #expect(taken(.workload) == 1 && taken(.serviceConfig) == 0)
    try acknowledgeNext(&session)
    #expect(session.nextResponse() == nil && taken(.serviceConfig) == 1)
    // One goes, one changes: the change alone does not make the revision.
    session.update(view(2, [.workload: ["a": "2"], .serviceConfig: ["s": "1"]]))
    try acknowledgeNext(&session)
    #expect(taken(.workload) == 1)
    let removal = try next(&session)
    #expect(removal.removed == ["b"] && taken(.serviceConfig) == 2, "nothing of it is for that type")
    try acknowledge(&session, removal)
    #expect(taken(.workload) == 2)
    // A refusal is an answer too. What comes while it is awaited is another revision.
    session.update(view(3, [.workload: ["a": "3"], .serviceConfig: ["s": "1"]]))
    let third = try next(&session)
    session.update(view(4, [.workload: ["a": "4"], .serviceConfig: ["s": "1"]]))
    #expect(session.nextResponse() == nil)
    _ = try session.receive(request(.workload, nonce: third.nonce, error: "no"))
    #expect(taken(.workload) == 3)
    try acknowledgeNext(&session)
    #expect(taken(.workload) == 4 && session.nextResponse() == nil && taken(.serviceConfig) == 4)
  }

  @Test func partsOfARevisionAreNotTheRevision() throws {
    var limits = DeltaSession.Limits()
    limits.responseBytes = 100
    var session = DeltaSession(noncePrefix: "n", limits: limits)
    _ = try session.receive(request(.workload))
    session.update(view(9, [.workload: ["a": "1", "b": "1", "c": "1"]]))
    for _ in 0..<2 {
      try acknowledgeNext(&session)
      #expect(session.standing(of: .workload)?.takenRevision == 0)
    }
    try acknowledgeNext(&session)
    #expect(session.standing(of: .workload)?.takenRevision == 9)
  }

  @Test func oneResponseIsOutstandingPerTypeAndTheLatestStateWins() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.workload))
    session.update(view(1, [.workload: ["a": "1"]]))
    let first = try next(&session)
    for revision in 2...50 {
      session.update(view(UInt64(revision), [.workload: ["a": "\(revision)"]]))
      #expect(session.nextResponse() == nil)
    }
    try acknowledge(&session, first)
    let last = try next(&session)
    #expect(last.resources.map(\.version) == [version("50")])
    #expect(session.standing(of: .workload)?.ackedVersion == "1")
    try acknowledge(&session, last)
    #expect(session.nextResponse() == nil)
  }

  @Test func additionsGoBeforeRemovalsAcrossTypes() throws {
    var session = DeltaSession(noncePrefix: "n")
    for type in ConfigType.allCases { _ = try session.receive(request(type)) }
    session.update(view(1, [.serviceConfig: ["s": "old"], .workload: ["w1": "1"], .trustBundle: ["t": "1"]]))
    var order: [ConfigType?] = []
    while let response = session.nextResponse() {
      order.append(ConfigType(typeURL: response.typeURL))
      try acknowledge(&session, response)
    }
    #expect(order == [.trustBundle, .proxyConfig, .workload, .serviceConfig])

    session.update(view(2, [.serviceConfig: ["s": "new"], .workload: ["w2": "1"], .trustBundle: ["t": "1"]]))
    let added = try next(&session)
    #expect(added.resources.map(\.name) == ["w2"])
    let changed = try next(&session)
    #expect(changed.resources.map(\.name) == ["s"])
    #expect(session.nextResponse() == nil, "the removal waits for the answer of its type")
    try acknowledge(&session, added)
    #expect(session.nextResponse()?.removed == ["w1"])
  }

  @Test func aServiceIsNotSentBeforeTheWorkloadsItMayName() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.workload))
    _ = try session.receive(request(.serviceConfig))
    session.update(view(1, [.workload: ["w1": "1"]]))
    let first = try next(&session)
    _ = session.nextResponse()
    session.update(view(2, [.workload: ["w1": "1", "w2": "1"], .serviceConfig: ["s": "1"]]))
    #expect(session.nextResponse() == nil)
    try acknowledge(&session, first)
    #expect(session.nextResponse()?.resources.map(\.name) == ["w2"])
  }

  @Test func aRefusedResourceIsReportedAndNotSentAgainUntilItChanges() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.serviceConfig))
    session.update(view(1, [.serviceConfig: ["good": "1", "bad": "1"]]))
    var client = ModelClient(type: .serviceConfig)
    client.dislikes = [version("broken")]
    let answered = client.apply(try next(&session), namesRefused: true)
    _ = try session.receive(answered)

    session.update(view(2, [.serviceConfig: ["good": "2", "bad": "broken"]]))
    let answer = client.apply(try next(&session), namesRefused: true)
    #expect(try session.receive(answer) == .refused(.serviceConfig, version: "2", message: "bad"))
    #expect(session.nextResponse() == nil)
    #expect(session.standing(of: .serviceConfig)?.refusal == "bad")
    #expect(client.resources == ["good": version("2"), "bad": version("1")])

    session.update(view(3, [.serviceConfig: ["good": "3", "bad": "broken"]]))
    let other = try next(&session)
    #expect(other.resources.map(\.name) == ["good"])
    _ = try session.receive(client.apply(other, namesRefused: true))
    #expect(session.standing(of: .serviceConfig)?.refusal == "bad", "the refusal stands")

    session.update(view(4, [.serviceConfig: ["good": "3", "bad": "1"]]))
    let mended = try next(&session)
    #expect(mended.resources.map(\.name) == ["bad"], "what the client has after a refusal is not known")
    _ = try session.receive(client.apply(mended, namesRefused: true))
    #expect(session.standing(of: .serviceConfig)?.refusal == nil)
  }

  @Test func aRefusalWithoutNamesMeansTheWholeResponse() throws {
    var session = DeltaSession(noncePrefix: "n")
    _ = try session.receive(request(.workload))
    session.update(view(1, [.workload: ["a": "1", "b": "1"]]))
    let response = try next(&session)
    let outcome = try session.receive(request(.workload, nonce: response.nonce, error: "no"))
    #expect(outcome == .refused(.workload, version: "1", message: "no"))
    #expect(session.nextResponse() == nil)
    session.update(view(2, [.workload: ["a": "1", "b": "2"]]))
    let again = try next(&session)
    #expect(again.resources.map(\.name) == ["b"])
    try acknowledge(&session, again)
    #expect(session.standing(of: .workload)?.refusal == nil)
  }

  @Test func anAnswerToAnOldNonceIsStaleButItsSubscriptionsCount() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [.workload: ["a": "1", "b": "1"]]))
    _ = try session.receive(request(.workload, subscribe: ["a"]))
    let first = try next(&session)
    #expect(try session.receive(request(.workload, subscribe: ["b"], nonce: "other")) == .stale)
    #expect(session.nextResponse() == nil)
    try acknowledge(&session, first)
    #expect(session.nextResponse()?.resources.map(\.name) == ["b"])
  }

  @Test func absentNamesAreReportedAbsentAndSentWhenTheyCome() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [:]))
    _ = try session.receive(request(.workload, subscribe: ["a"]))
    let empty = try next(&session)
    try acknowledge(&session, empty)
    let absent = try next(&session)
    #expect(absent.removed == ["a"])
    try acknowledge(&session, absent)
    session.update(view(2, [.workload: ["a": "1", "other": "1"]]))
    #expect(session.nextResponse()?.resources.map(\.name) == ["a"])
  }

  @Test func aNameSubscribedAgainIsSentAgain() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [.workload: ["a": "1", "b": "1"]]))
    _ = try session.receive(request(.workload, subscribe: ["a", "b"]))
    try acknowledgeNext(&session)
    _ = try session.receive(request(.workload, subscribe: ["a"]))
    let again = try next(&session)
    #expect(again.resources.map(\.name) == ["a"])
    try acknowledge(&session, again)
    _ = try session.receive(request(.workload, unsubscribe: ["b"]))
    session.update(view(2, [.workload: ["a": "1", "b": "2"]]))
    #expect(session.nextResponse() == nil)
  }

  @Test func unsubscribingANameUnderAWildcardTellsWhetherItStillComes() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [.workload: ["a": "1"]]))
    _ = try session.receive(request(.workload, subscribe: ["*", "a", "x"]))
    while let response = session.nextResponse() { try acknowledge(&session, response) }
    _ = try session.receive(request(.workload, unsubscribe: ["a", "x"]))
    let still = try next(&session)
    #expect(still.resources.map(\.name) == ["a"])
    try acknowledge(&session, still)
    #expect(session.nextResponse()?.removed == ["x"])
  }

  @Test func unsubscribingTheWildcardEndsIt() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [.workload: ["a": "1", "b": "1"]]))
    _ = try session.receive(request(.workload, subscribe: ["*", "b"]))
    try acknowledgeNext(&session)
    _ = try session.receive(request(.workload, unsubscribe: ["*"]))
    session.update(view(2, [.workload: ["a": "2", "b": "2"]]))
    #expect(session.nextResponse()?.resources.map(\.name) == ["b"])
  }

  @Test func largeStatesAreCutIntoResponsesThatFollowEachAnswer() throws {
    var limits = DeltaSession.Limits()
    limits.responseBytes = 1000
    var session = DeltaSession(noncePrefix: "n", limits: limits)
    var contents: [String: String] = [:]
    for number in 0..<100 { contents["w\(number)"] = String(repeating: "x", count: 100) }
    session.update(view(1, [.workload: contents]))
    var client = ModelClient(type: .workload)
    _ = try session.receive(client.hello())
    while let response = session.nextResponse() {
      #expect(response.resources.count <= 6)
      #expect((client.resources.count + response.resources.count == 100) == (response.systemVersion == "1"))
      #expect(response.systemVersion == "1" || response.systemVersion == "1+")
      #expect(session.nextResponse() == nil)
      _ = try session.receive(client.apply(response, namesRefused: false))
    }
    #expect(client.resources.count == 100)
    #expect(client.responses >= 17)
  }

  @Test func boundsAreEnforced() {
    var limits = DeltaSession.Limits()
    limits.namesPerType = 3
    limits.nameBytes = 10
    var session = DeltaSession(noncePrefix: "n", limits: limits)
    #expect(throws: DeltaSession.Violation.tooManyNames(limit: 3)) {
      try session.receive(request(.workload, subscribe: ["a", "b", "c", "d"]))
    }
    #expect(throws: DeltaSession.Violation.nameTooLong(limit: 10)) {
      try session.receive(request(.workload, subscribe: [String(repeating: "a", count: 11)]))
    }
    #expect(throws: DeltaSession.Violation.emptyName) { try session.receive(request(.workload, subscribe: [""])) }
  }

  @Test func aTypeThatIsNotServedIsLeftUnanswered() throws {
    var session = DeltaSession(noncePrefix: "n")
    session.update(view(1, [:]))
    var foreign = DeltaDiscoveryRequest()
    foreign.typeURL = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    #expect(try session.receive(foreign) == .unknownType(foreign.typeURL))
    #expect(session.nextResponse() == nil)
  }
}
