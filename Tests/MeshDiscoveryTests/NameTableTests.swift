import MeshControl
import Synchronization
import Testing

/// When names are asked for, and what their answers do.
@Suite struct NameTableTests {
  private let name = "api.example.test"

  private func table() -> NameTable {
    var table = NameTable()
    table.want([name], now: .zero)
    return table
  }

  private func found(_ addresses: String..., holds: Int64 = 10) -> NameAnswer {
    .addresses(addresses, holds: .seconds(holds))
  }

  /// Asks, answers, and says when the name is due again.
  private func next(
    _ table: inout NameTable, _ ipv4: NameAnswer, _ ipv6: NameAnswer, now: Duration
  ) -> (changed: Bool, due: Duration) {
    #expect(table.begin(now: now) == [name])
    let changed = table.take(name, ipv4: ipv4, ipv6: ipv6, now: now)
    var later = now
    while table.begin(now: later).isEmpty, later < now + .seconds(1000) { later += .milliseconds(500) }
    return (changed, later - now)
  }

  @Test(arguments: [(0, 1), (1, 1), (20, 20), (300, 300), (4_294_967_295, 300)])
  func `an answer is believed for as long as it says, within bounds`(holds: Int64, expected: Int64) {
    var table = table()
    let told = next(&table, found("192.0.2.1", holds: holds), found(), now: .zero)
    #expect(told.changed && told.due == .seconds(expected))
    #expect(table.known[name] == KnownName(ipv4: ["192.0.2.1"], ipv6: []))
  }

  @Test func `of both kinds the shorter time counts, and the order of addresses does not`() {
    var table = table()
    #expect(
      next(&table, found("192.0.2.2", "192.0.2.1", holds: 60), found("2001:db8::1", holds: 5), now: .zero).due
        == .seconds(5))
    #expect(
      table.take(name, ipv4: found("192.0.2.1", "192.0.2.2"), ipv6: found("2001:db8::1"), now: .seconds(5)) == false)
  }

  @Test(arguments: NameFailure.allCases)
  func `a failure takes nothing away and is asked again less and less often`(failure: NameFailure) {
    var table = table()
    #expect(table.begin(now: .zero) == [name])
    #expect(table.take(name, ipv4: found("192.0.2.1"), ipv6: found(), now: .zero) == true)
    let failed: NameAnswer = failure == .noAddresses ? found() : .failed(failure)
    var now = Duration.seconds(10)
    for (index, pause) in [1, 2, 4, 8, 16, 30, 30].enumerated() {
      #expect(table.begin(now: now - .milliseconds(1)).isEmpty)
      #expect(table.begin(now: now) == [name])
      #expect(table.take(name, ipv4: failed, ipv6: failed, now: now) == (index == 0))
      #expect(table.known[name] == KnownName(ipv4: ["192.0.2.1"], ipv6: [], failure: failure))
      now += .seconds(pause)
    }
    let figures = table.figures
    #expect(figures[name]?.answered == 1 && figures[name]?.failed == [failure: 7])
    let text = String(decoding: NameFigures.exposition(figures, now: .seconds(90)), as: UTF8.self)
    #expect(text.contains("apus_name_lookups_total{name=\"\(name)\",result=\"\(failure.rawValue)\"} 7\n"))
    #expect(text.contains("apus_name_answer_age_seconds{name=\"\(name)\"} 90\n"))
    #expect(table.begin(now: now) == [name])
    #expect(table.take(name, ipv4: found("192.0.2.2"), ipv6: found(), now: now) == true)
    #expect(table.known[name] == KnownName(ipv4: ["192.0.2.2"], ipv6: []))
  }

  @Test func `one kind that fails leaves the other's answer in force`() {
    var table = table()
    #expect(table.begin(now: .zero) == [name])
    #expect(table.take(name, ipv4: found("192.0.2.1"), ipv6: found("2001:db8::1"), now: .zero) == true)
    #expect(table.begin(now: .seconds(10)) == [name])
    #expect(table.take(name, ipv4: found("192.0.2.2"), ipv6: .failed(.noAnswer), now: .seconds(10)) == true)
    #expect(table.known[name] == KnownName(ipv4: ["192.0.2.2"], ipv6: ["2001:db8::1"]))
    // A kind that the name does not have says nothing of the one that failed.
    #expect(table.begin(now: .seconds(20)) == [name])
    #expect(table.take(name, ipv4: .failed(.noAnswer), ipv6: found(), now: .seconds(20)) == true)
    #expect(table.known[name]?.ipv4 == ["192.0.2.2"] && table.known[name]?.failure == .noAnswer)
  }

  @Test func `so many are asked at once, and what nobody wants is forgotten`() {
    var table = NameTable()
    let names = Set((0..<100).map { "n\($0).test" })
    table.want(names, now: .zero)
    let first = table.begin(now: .zero)
    #expect(first.count == NameTable.maxAtOnce && table.begin(now: .zero).isEmpty)
    table.want([], now: .zero)
    #expect(table.known.isEmpty)
    // Answers for what is not wanted any more make room, and nothing else.
    table.want(names, now: .seconds(1))
    for name in first {
      #expect(table.take(name, ipv4: found("192.0.2.1"), ipv6: found(), now: .seconds(1)) == false)
    }
    #expect(table.begin(now: .seconds(1)).count == NameTable.maxAtOnce)
  }
}

/// The keeper asks, and hands on what changes.
@Suite struct NameKeeperTests {
  private actor Sink: NameSink {
    private(set) var names: [String: KnownName] = [:]
    func wantedNames() -> Set<String> { ["a.test"] }
    func take(names: [String: KnownName], hasIPv6: Bool) { self.names = names }
  }

  private final class Resolver: NameResolver {
    let answer = Mutex<NameAnswer>(.addresses(["192.0.2.1"], holds: .seconds(1)))
    func addresses(of name: String, wantsIPv6: Bool) async -> NameAnswer {
      wantsIPv6 ? .addresses([], holds: .seconds(300)) : answer.withLock { $0 }
    }
    func hasIPv6() -> Bool { false }
  }

  private func eventually(_ condition: () async -> Bool) async -> Bool {
    for _ in 0..<3000 {
      if await condition() { return true }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  @Test func `answers reach the compiler, and a failure is told once`() async {
    let sink = Sink(), resolver = Resolver()
    let told = Mutex<[String]>([])
    let begin = ContinuousClock.now
    // Twenty times as fast as the clock on the wall.
    let keeper = NameKeeper(
      resolver: resolver, sink: sink, now: { (ContinuousClock.now - begin) * 20 },
      onProblem: { line in told.withLock { $0.append(line) } })
    let running = Task { await keeper.run() }
    #expect(await eventually { await sink.names["a.test"] == KnownName(ipv4: ["192.0.2.1"], ipv6: []) })
    resolver.answer.withLock { $0 = .failed(.noAnswer) }
    #expect(await eventually { await sink.names["a.test"]?.failure == .noAnswer })
    #expect(await sink.names["a.test"]?.ipv4 == ["192.0.2.1"])
    resolver.answer.withLock { $0 = .addresses(["192.0.2.2"], holds: .seconds(1)) }
    #expect(await eventually { await sink.names["a.test"] == KnownName(ipv4: ["192.0.2.2"], ipv6: []) })
    running.cancel()
    await running.value
    let lines = told.withLock { $0 }
    #expect(lines.count == 1 && lines.first?.contains("its last addresses stay in use") == true)
  }
}
