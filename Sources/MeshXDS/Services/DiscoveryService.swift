package import GRPCCore
package import MeshControl
import MeshModel
import MeshWire

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`, the incremental variant.
package struct DiscoveryService: RegistrableRPCService {
  package static let method = MethodDescriptor(
    fullyQualifiedService: "envoy.service.discovery.v3.AggregatedDiscoveryService", method: "DeltaAggregatedResources")
  /// How long changes are gathered before they are sent: a burst costs one response.
  package static let coalescing: Duration = .milliseconds(10)

  private let source: any ConfigSource
  private let registry: WorkloadRegistry
  private let directory: ConnectedProxies
  private let now: @Sendable () -> Int64

  /// - Parameter now: seconds since 1970.
  package init(
    source: any ConfigSource, registry: WorkloadRegistry, directory: ConnectedProxies,
    now: @escaping @Sendable () -> Int64
  ) {
    self.source = source
    self.registry = registry
    self.directory = directory
    self.now = now
  }

  package func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Self.method, deserializer: WireDeserializer<DeltaDiscoveryRequest>(),
      serializer: WireSerializer<DeltaDiscoveryResponse>()
    ) { request, context in
      let identity = try context.authenticatedPeer()
      let peer = context.peer
      return StreamingServerResponse(of: DeltaDiscoveryResponse.self) { writer in
        try await whileCertificateHolds(of: peer, now: now()) {
          try await serve(request.messages, identity: identity, writer: writer)
        }
        return [:]
      }
    }
  }

  private func serve(
    _ requests: RPCAsyncSequence<DeltaDiscoveryRequest, any Error>, identity: SPIFFEID,
    writer: RPCWriter<DeltaDiscoveryResponse>
  ) async throws {
    // The first request says who the proxy is; the sequence can be walked only once, so that it is handed on whole.
    let (opened, openedSignal) = AsyncStream.makeStream(of: DiscoveryStream.self, bufferingPolicy: .bufferingNewest(1))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { openedSignal.finish() }
        var stream: DiscoveryStream?
        for try await request in requests {
          if let stream {
            try await stream.receive(request)
          } else {
            let description = try await describe(request, identity: identity)
            let new = DiscoveryStream(description, name: await directory.connect(description), directory: directory)
            try await new.receive(request)
            stream = new
            openedSignal.yield(new)
          }
        }
      }
      group.addTask {
        guard let stream = await opened.first(where: { _ in true }) else { return }
        do {
          try await run(stream, writer: writer)
        } catch {
          await stream.close()
          throw error
        }
        await stream.close()
      }
      // Whichever ends first, the client's half or ours, ends the stream.
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func run(_ stream: DiscoveryStream, writer: RPCWriter<DeltaDiscoveryResponse>) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        let revisions = await source.revisions()
        await stream.update(await source.view(for: stream.description))
        for await _ in revisions {
          try await Task.sleep(for: Self.coalescing)
          await stream.update(await source.view(for: stream.description))
        }
      }
      group.addTask {
        for await _ in stream.wakes {
          while let response = await stream.next() { try await writer.write(response) }
        }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func describe(
    _ request: DeltaDiscoveryRequest, identity: SPIFFEID
  ) async throws(RPCError) -> ProxyDescription {
    guard let id = request.node?.id, !id.isEmpty, id.utf8.count <= RegisteredWorkload.maximumTextBytes else {
      throw RPCError(
        code: .invalidArgument, message: "The first request must carry `node.id`, the uid of the proxy's workload.")
    }
    guard let namespace = identity.namespace, let account = identity.account else {
      throw RPCError(code: .permissionDenied, message: RegistrationRefusal.foreignIdentity(identity.uri).sentence)
    }
    let workload = await registry.workload(uid: id)
    if let workload, workload.namespace != namespace || workload.account != account {
      throw RPCError(code: .permissionDenied, message: RegistrationRefusal.uidTaken(uid: id).sentence)
    }
    return ProxyDescription(
      workload: id, namespace: namespace, account: account, labels: workload?.labels ?? [:])
  }
}

/// One discovery stream: the protocol's state, and a wake-up for its writer.
actor DiscoveryStream {
  nonisolated let description: ProxyDescription
  /// Yields when there may be something to send. One wake-up is kept, however many there were.
  nonisolated let wakes: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation
  private var session: DeltaSession
  private let name: UInt64
  private let directory: ConnectedProxies

  init(_ description: ProxyDescription, name: UInt64, directory: ConnectedProxies) {
    self.description = description
    self.name = name
    self.directory = directory
    session = DeltaSession(noncePrefix: String(name, radix: 36))
    (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  func receive(_ request: DeltaDiscoveryRequest) async throws(RPCError) {
    do throws(DeltaSession.Violation) {
      _ = try session.receive(request)
    } catch {
      switch error {
      case .tooManyNames(let limit):
        throw RPCError(code: .resourceExhausted, message: "More than \(limit) resource names; subscribe to `*`.")
      case .nameTooLong(let limit):
        throw RPCError(code: .invalidArgument, message: "A resource name is longer than \(limit) bytes.")
      case .emptyName:
        throw RPCError(code: .invalidArgument, message: "A resource name is empty.")
      }
    }
    wake.yield()
  }

  func update(_ view: ConfigView) {
    session.update(view)
    wake.yield()
  }

  func next() async -> DeltaDiscoveryResponse? {
    let response = session.nextResponse()
    var standings: [ConfigType: DeltaStanding] = [:]
    for type in session.subscribedTypes { standings[type] = session.standing(of: type) }
    await directory.note(standings, proxy: description.workload, stream: name)
    return response
  }

  func close() async {
    wake.finish()
    await directory.disconnect(proxy: description.workload, stream: name)
  }
}
