/// Keeps the addresses of names up to date: asks for those that services want when their time has come, and hands on what
/// changes.
package actor NameKeeper {
  /// How often it is looked which names are wanted and due.
  package static let interval: Duration = .milliseconds(250)

  private var table = NameTable()
  private let resolver: any NameResolver
  private let sink: any NameSink
  private let now: @Sendable () -> Duration
  private let onProblem: @Sendable (String) -> Void

  /// - Parameters:
  ///   - now: a monotonic clock, since any fixed moment.
  ///   - onProblem: told, once for each name, that it is not answered any more, and why.
  package init(
    resolver: any NameResolver, sink: any NameSink, now: @escaping @Sendable () -> Duration,
    onProblem: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.resolver = resolver
    self.sink = sink
    self.now = now
    self.onProblem = onProblem
  }

  /// How the questions have gone, as Prometheus reads it.
  package func exposition() -> [UInt8] { NameFigures.exposition(table.figures, now: now()) }

  /// Asks until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        table.want(await sink.wantedNames(), now: now())
        for name in table.begin(now: now()) {
          group.addTask { await self.ask(name) }
        }
        try? await Task.sleep(for: Self.interval)
      }
    }
  }

  private func ask(_ name: String) async {
    async let second = resolver.addresses(of: name, wantsIPv6: true)
    let first = await resolver.addresses(of: name, wantsIPv6: false)
    let other = await second
    // What is broken off at the end is no answer.
    if Task.isCancelled { return }
    let before = table.known[name]?.failure
    guard table.take(name, ipv4: first, ipv6: other, now: now()) else { return }
    let known = table.known
    if let failure = known[name]?.failure, failure != before {
      let kept = known[name]?.isAnswered == true ? "its last addresses stay in use" : "it has no address yet"
      onProblem("The name \(name) \(failure.sentence); \(kept). To mend it: \(failure.remedy).")
    }
    await sink.take(names: known, hasIPv6: resolver.hasIPv6())
  }
}
