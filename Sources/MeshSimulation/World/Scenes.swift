internal import MeshPolicy
internal import MeshProxy
internal import MeshReactor

/// What happens in scenarios besides the proxies' own doing.
extension World {
  /// Clients of every kind.
  func addClients(_ writer: inout PlanWriter) {
    for _ in 0..<(1 + writer.random.pick(6)) {
      let plans = (0..<(1 + writer.random.pick(12))).map { _ in writer.request() }
      if writer.chance(1, of: 3) {
        let client = HTTP2Client(kernel, ledger, port: Mesh.webPort, plans: plans, most: 1 + writer.random.pick(8))
        add(client) { client.isDone }
        continue
      }
      let client = HTTP1Client(
        kernel, ledger, port: Mesh.webPort, host: Mesh.host, plans: plans, depth: 1 + writer.random.pick(3))
      if writer.chance(1, of: 5) { client.readMost = 1 + writer.random.pick(500) }
      if writer.chance(1, of: 10) { client.readPause = UInt64(writer.random.pick(2_000_000)) }
      if writer.chance(1, of: 2) { client.thinkTime = 1 + UInt64(writer.random.pick(500_000_000)) }
      add(client) { client.isDone }
    }
    for _ in 0..<writer.random.pick(4) {
      let client = EchoClient(kernel, ledger, port: Mesh.echoPort, plan: writer.session())
      if writer.chance(1, of: 4) { client.readMost = 1 + writer.random.pick(500) }
      if writer.chance(1, of: 4) { client.readPause = UInt64(writer.random.pick(500_000)) }
      add(client) { client.isDone }
    }
  }

  /// Clients of ports whose protocol nobody has declared.
  func addSilence(_ writer: inout PlanWriter) {
    add(GreetingApplication(kernel, port: Mesh.greeterApplicationPort, greets: true))
    add(GreetingApplication(kernel, port: Mesh.keysApplicationPort, greets: false))
    let connections = 2 + writer.random.pick(10)
    let greeted = PunctualClient(kernel, ledger, port: Mesh.greeterPort, isGreeted: true, connections: connections)
    let beginning = PunctualClient(kernel, ledger, port: Mesh.keysPort, isGreeted: false, connections: connections)
    self.greeted = greeted
    self.beginning = beginning
    add(greeted) { greeted.isDone }
    add(beginning) { beginning.isDone }
  }

  /// A server that speaks first is heard within 150 ms once, and at once from then on; who speaks first waits for nothing.
  func checkDelays() {
    // What the network itself takes, with a handshake of the proxies' and a turn for each of those who take part.
    let network: UInt64 = 10_000_000
    for (index, delay) in (greeted?.delays ?? []).enumerated() where delay > (index == 0 ? 150_000_000 : network) {
      ledger.violate("connection \(index + 1) was greeted after \(delay) ns")
    }
    for (index, delay) in (beginning?.delays ?? []).enumerated() where delay > network {
      ledger.violate("connection \(index + 1), whose client speaks first, was answered after \(delay) ns")
    }
    if let first = greeted?.delays.first, first < Worker.detectionNanoseconds {
      ledger.violate("the first greeting came after \(first) ns: nothing was learned from silence")
    }
  }

  /// Gives the client's proxy other configurations, with some of the endpoints in any order, until its clients are done.
  func swapConfigurations(every interval: UInt64) {
    kernel.after(interval) { [weak self] in
      guard let self, !areClientsDone else { return }
      var ports = mesh.applicationPorts
      for index in ports.indices.dropFirst().reversed() { ports.swapAt(index, kernel.random.pick(index + 1)) }
      mesh.adopt(applications: Array(ports.prefix(1 + kernel.random.pick(ports.count))))
      swapConfigurations(every: interval)
    }
  }

  /// Lets the client's proxy drain at some time.
  func drainSoon(within limit: UInt64) {
    kernel.after(limit) { [weak self] in
      guard let self else { return }
      ledger.isClosing = true
      mesh.drain(until: kernel.now + 120_000_000_000)
    }
  }
}
