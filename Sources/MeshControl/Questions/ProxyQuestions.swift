package import MeshWire

/// Asks the attached proxies, and hands each answer to whoever asked. A proxy that does not answer costs the time limit
/// and nothing else.
package actor ProxyQuestions: ProxyPages {
  /// Proxies that are asked at the same time, so that large answers do not come all at once.
  package static let concurrentQuestions = 64

  private struct Link {
    var stream: UInt64
    var send: @Sendable (ProxyQuestion) -> Void
  }

  private struct Pending {
    var proxy: String
    var continuation: CheckedContinuation<ProxyPage?, Never>
  }

  private var links: [String: Link] = [:]
  private var pending: [UInt64: Pending] = [:]
  private var lastQuestion: UInt64 = 0
  private let timeLimit: Duration

  /// - Parameter timeLimit: how long a proxy may take. Default 2 s.
  package init(timeLimit: Duration = .seconds(2)) { self.timeLimit = timeLimit }

  /// A proxy can be asked from now on.
  /// - Parameters:
  ///   - stream: tells this stream from others of the same proxy; the newest is the one that is asked.
  ///   - send: takes a question to the proxy. Must not wait.
  package func open(proxy: String, stream: UInt64, send: @escaping @Sendable (ProxyQuestion) -> Void) {
    links[proxy] = Link(stream: stream, send: send)
  }

  /// The stream has gone; questions that it has not answered get none.
  package func close(proxy: String, stream: UInt64) {
    guard links[proxy]?.stream == stream else { return }
    links[proxy] = nil
    for (id, question) in pending where question.proxy == proxy { settle(id, nil) }
  }

  /// Takes the answers of a proxy; answers to what it was not asked are left alone.
  package func answered(_ answers: [ProxyAnswer], proxy: String) {
    for answer in answers where pending[answer.id]?.proxy == proxy {
      settle(answer.id, ProxyPage(proxy: proxy, status: Int(answer.status), body: answer.body))
    }
  }

  private func settle(_ id: UInt64, _ page: ProxyPage?) {
    pending.removeValue(forKey: id)?.continuation.resume(returning: page)
  }

  package func page(_ target: String, of proxy: String) async -> ProxyPage? {
    guard let link = links[proxy] else { return nil }
    lastQuestion &+= 1
    var question = ProxyQuestion()
    question.id = lastQuestion
    question.target = target
    let timer = Task { [id = question.id, timeLimit] in
      try? await Task.sleep(for: timeLimit)
      if !Task.isCancelled { settle(id, nil) }
    }
    defer { timer.cancel() }
    return await withCheckedContinuation { continuation in
      pending[question.id] = Pending(proxy: proxy, continuation: continuation)
      link.send(question)
    }
  }

  package func pages(_ target: @escaping @Sendable (String) -> String) async -> [ProxyPage] {
    let proxies = links.keys.sorted()
    return await withTaskGroup(of: ProxyPage?.self) { group in
      var rest = proxies[...]
      func askNext() {
        guard let proxy = rest.popFirst() else { return }
        group.addTask { await self.page(target(proxy), of: proxy) }
      }
      for _ in 0..<Self.concurrentQuestions { askNext() }
      var pages: [ProxyPage] = []
      while let page = await group.next() {
        if let page { pages.append(page) }
        askNext()
      }
      return pages.sorted { $0.proxy < $1.proxy }
    }
  }
}
