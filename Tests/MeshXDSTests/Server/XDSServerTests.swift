import GRPCCore
import GRPCNIOTransportHTTP2Posix
import MeshControl
import MeshIdentity
import MeshWire
import MeshXDS
import Testing

private let catalog = "spiffe://cluster.local/ns/shop/sa/catalog"

private func eventually(_ condition: () async -> Bool) async -> Bool {
  for _ in 0..<500 {
    if await condition() { return true }
    try? await Task.sleep(for: .milliseconds(10))
  }
  return false
}

private func identity(_ harness: ServerHarness, port: Int) async throws -> ClientIdentity {
  try await TestClient(port: port, roots: harness.authority.bundlePEM).use { client in
    try await createCertificate(client, for: catalog, token: harness.token())
  }
}

private func code(_ body: () async throws -> Void) async -> RPCError.Code? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? RPCError)?.code
  }
}

/// A discovery stream: what is sent into it, what came out.
private func discover(
  _ client: GRPCClient<HTTP2ClientTransport.Posix>, node: String,
  _ body:
    @Sendable @escaping (
      _ send: @Sendable (DeltaDiscoveryRequest) async throws -> Void,
      _ responses: RPCAsyncSequence<DeltaDiscoveryResponse, any Error>
    ) async throws -> Void
) async throws {
  let (requests, feed) = AsyncStream.makeStream(of: DeltaDiscoveryRequest.self)
  var hello = request(.workload)
  var me = XDSNode()
  me.id = node
  hello.node = me
  feed.yield(hello)
  try await client.bidirectionalStreaming(
    request: StreamingClientRequest<DeltaDiscoveryRequest> { writer in
      for await one in requests { try await writer.write(one) }
    },
    descriptor: DiscoveryService.method, serializer: WireSerializer<DeltaDiscoveryRequest>(),
    deserializer: WireDeserializer<DeltaDiscoveryResponse>(), options: .defaults
  ) { response in
    try await body({ feed.yield($0) }, response.messages)
    feed.finish()
  }
}

/// Reads to the end, which for a refused stream is the refusal.
private func drain(
  _ send: @Sendable (DeltaDiscoveryRequest) async throws -> Void,
  _ responses: RPCAsyncSequence<DeltaDiscoveryResponse, any Error>
) async throws {
  for try await _ in responses {}
}

private func attach(
  _ client: GRPCClient<HTTP2ClientTransport.Posix>, _ messages: [AttachRequest],
  whileOpen body: @Sendable @escaping () async throws -> Void
) async throws {
  let (requests, feed) = AsyncStream.makeStream(of: AttachRequest.self)
  for message in messages { feed.yield(message) }
  try await client.bidirectionalStreaming(
    request: StreamingClientRequest<AttachRequest> { writer in
      for await one in requests { try await writer.write(one) }
    },
    descriptor: WorkloadService.method, serializer: WireSerializer<AttachRequest>(),
    deserializer: WireDeserializer<AttachResponse>(), options: .defaults
  ) { response in
    for try await answer in response.messages {
      #expect(answer.reportIntervalMilliseconds == 1000)
      try await body()
      feed.finish()
    }
  }
}

private func registration(account: String = "catalog") -> AttachRequest {
  var claim = Registration()
  claim.uid = "u1"
  claim.namespace = "shop"
  claim.service = "catalog"
  claim.serviceAccount = account
  claim.address = "127.0.0.1"
  var request = AttachRequest()
  request.registration = claim
  return request
}

@Suite(.serialized) struct XDSServerTests {
  @Test func aJoinTokenIsExchangedForACertificateAndThatForAnother() async throws {
    try await ServerHarness.run { harness, port in
      let first = try await identity(harness, port: port)
      let second = try await TestClient(port: port, roots: harness.authority.bundlePEM, identity: first).use {
        try await createCertificate($0, for: catalog)
      }
      #expect(second.chain.first != first.chain.first)
    }
  }

  @Test func whoCannotSayWhoTheyAreGetsNothing() async throws {
    try await ServerHarness.run { harness, port in
      let anonymous = try TestClient(port: port, roots: harness.authority.bundlePEM)
      try await anonymous.use { client in
        #expect(await code { _ = try await createCertificate(client, for: catalog) } == .unauthenticated)
        #expect(
          await code { _ = try await createCertificate(client, for: catalog, token: "apus1.a.b") } == .unauthenticated)
        #expect(
          await code {
            _ = try await createCertificate(
              client, for: "spiffe://cluster.local/ns/shop/sa/payments", token: harness.token())
          } == .permissionDenied)
        #expect(await code { try await discover(client, node: "u1", drain) } == .unauthenticated)
        #expect(await code { try await attach(client, [registration()]) {} } == .unauthenticated)
      }
    }
  }

  @Test func aChangeReachesTheProxyWithinAHundredMilliseconds() async throws {
    try await ServerHarness.run { harness, port in
      await harness.source.set([.workload: ["w": "0"]])
      let proxy = try await identity(harness, port: port)
      try await TestClient(port: port, roots: harness.authority.bundlePEM, identity: proxy).use { client in
        try await discover(client, node: "u1") { send, responses in
          var iterator = responses.makeAsyncIterator()
          guard let first = try await iterator.next() else { return }
          #expect(first.resources.map(\.name) == ["w"])
          try await send(request(.workload, nonce: first.nonce))
          #expect(await eventually { await harness.directory.proxies().first?.state == .synced })
          var fastest = Duration.seconds(60)
          for number in 1...20 {
            let begin = ContinuousClock.now
            await harness.source.set([.workload: ["w": "\(number)"]])
            guard let change = try await iterator.next() else { return }
            fastest = min(fastest, ContinuousClock.now - begin)
            #expect(change.resources.map(\.version) == [version("\(number)")])
            try await send(request(.workload, nonce: change.nonce))
          }
          // The best of twenty: a machine that is busy with other things says nothing about waits that are built in.
          #expect(fastest < .milliseconds(100))
          await harness.source.set([.workload: ["w": "bad"]])
          guard let bad = try await iterator.next() else { return }
          try await send(request(.workload, nonce: bad.nonce, error: "w: cannot be used"))
          #expect(await eventually { await harness.directory.proxies().first?.state == .nacked })
          #expect(await harness.directory.proxies().first?.refusal?.message == "w: cannot be used")
        }
      }
      #expect(await eventually { await harness.directory.proxies().first?.state == .disconnected })
    }
  }

  @Test func aRegisteredWorkloadIsKnownWhileItsStreamLastsAndGoneSoonAfter() async throws {
    try await ServerHarness.run { harness, port in
      let proxy = try await identity(harness, port: port)
      try await TestClient(port: port, roots: harness.authority.bundlePEM, identity: proxy).use { client in
        var report = AttachRequest()
        report.statistics = StatisticsReport()
        report.statistics?.sequence = 7
        var own = EdgeStatistics(), foreign = EdgeStatistics()
        own.sourceNamespace = "shop"
        foreign.sourceNamespace = "bank"
        report.statistics?.edges = [own, foreign]
        let kept = [own]
        try await attach(client, [registration(), report]) {
          #expect(await eventually { await harness.known.uids == ["u1"] })
          #expect(await eventually { await harness.reports.reports.map(\.sequence) == [7] })
          #expect(await harness.reports.reports.first?.edges == kept, "nobody speaks for another namespace")
        }
        #expect(await harness.known.uids == ["u1"])
        let ended = ContinuousClock.now
        #expect(await eventually { await harness.known.uids.isEmpty })
        #expect(ContinuousClock.now - ended < .seconds(5))
        #expect(await harness.reports.forgotten == ["u1"])
        #expect(await code { try await attach(client, [registration(account: "cart")]) {} } == .permissionDenied)
        #expect(await code { try await attach(client, [report]) {} } == .failedPrecondition)
      }
    }
  }

  @Test func aProxyThatSaidItIsGoingIsNotListedAfterwards() async throws {
    try await ServerHarness.run { harness, port in
      let proxy = try await identity(harness, port: port)
      var leaving = registration()
      leaving.health = HealthReport()
      leaving.health?.health = .draining
      let farewell = leaving
      try await TestClient(port: port, roots: harness.authority.bundlePEM, identity: proxy).use { client in
        try await discover(client, node: "u1") { _, _ in
          #expect(await eventually { await harness.directory.proxies().map(\.id) == ["u1"] })
          try await attach(client, [farewell]) {}
          #expect(await harness.directory.proxies().map(\.id) == ["u1"], "it is listed while its stream lasts")
        }
        #expect(await eventually { await harness.directory.proxies().isEmpty })
      }
    }
  }

  @Test func theFirstRequestMustSayWhichWorkloadItIs() async throws {
    try await ServerHarness.run { harness, port in
      let proxy = try await identity(harness, port: port)
      try await TestClient(port: port, roots: harness.authority.bundlePEM, identity: proxy).use { client in
        let refusal = await code {
          try await discover(client, node: "", drain)
        }
        #expect(refusal == .invalidArgument)
      }
    }
  }
}
