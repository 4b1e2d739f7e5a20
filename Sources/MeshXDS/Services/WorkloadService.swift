package import GRPCCore
package import MeshControl
import MeshModel
import MeshWire

/// `apus.v1.WorkloadService`: proxies register their workloads, say how they are, and report what passed through them.
///
/// The stream is the workload's sign of life: it is known while the stream is open, and for a moment after.
package struct WorkloadService: RegistrableRPCService {
  package static let method = MethodDescriptor(fullyQualifiedService: "apus.v1.WorkloadService", method: "Attach")

  private let registry: WorkloadRegistry
  private let statistics: any StatisticsSink
  private let directory: ConnectedProxies
  private let questions: ProxyQuestions
  private let quotas: QuotaService?
  private let reportIntervalMilliseconds: UInt32
  private let now: @Sendable () -> Int64

  /// - Parameters:
  ///   - directory: learns of each proxy's certificate.
  ///   - questions: what is asked of the proxies while they are attached.
  ///   - quotas: divides the limits that proxies share; nil: each holds to the whole of them.
  ///   - reportIntervalMilliseconds: how often proxies are asked to report.
  ///   - now: seconds since 1970.
  package init(
    registry: WorkloadRegistry, statistics: any StatisticsSink, directory: ConnectedProxies,
    questions: ProxyQuestions = ProxyQuestions(), quotas: QuotaService? = nil,
    reportIntervalMilliseconds: UInt32 = 1000, now: @escaping @Sendable () -> Int64
  ) {
    self.now = now
    self.registry = registry
    self.statistics = statistics
    self.directory = directory
    self.questions = questions
    self.quotas = quotas
    self.reportIntervalMilliseconds = reportIntervalMilliseconds
  }

  package func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Self.method, deserializer: WireDeserializer<AttachRequest>(),
      serializer: WireSerializer<AttachResponse>()
    ) { request, context in
      let identity = try context.authenticatedPeer()
      let peer = context.peer
      return StreamingServerResponse(of: AttachResponse.self) { writer in
        try await whileCertificateHolds(of: peer, now: now()) {
          try await serve(request.messages, identity: identity, writer: writer)
        }
        return [:]
      }
    }
  }

  private func serve(
    _ messages: RPCAsyncSequence<AttachRequest, any Error>, identity: SPIFFEID, writer: RPCWriter<AttachResponse>
  ) async throws {
    let stream = await registry.openStream()
    let (outgoing, responses) = AsyncStream.makeStream(
      of: AttachResponse.self, bufferingPolicy: .bufferingOldest(Self.waitingResponses))
    var uid: String?
    let result: Result<Void, any Error>
    do {
      // One task writes, so that answers to the proxy and questions to it never mix.
      let writing = Task { for await response in outgoing { try await writer.write(response) } }
      defer {
        responses.finish()
        writing.cancel()
      }
      for try await message in messages {
        if let attached = try await take(message, identity: identity, stream: stream, uid: uid) {
          uid = attached
          var response = AttachResponse()
          response.reportIntervalMilliseconds = reportIntervalMilliseconds
          responses.yield(response)
          await questions.open(proxy: attached, stream: stream) { question in
            var response = AttachResponse()
            response.questions = [question]
            responses.yield(response)
          }
          await quotas?.open(stream: stream) { grants in
            var response = AttachResponse()
            response.quota = grants
            responses.yield(response)
          }
        }
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    // However the stream ended, the workload's sign of life has ended with it.
    await registry.detach(stream: stream)
    await quotas?.close(stream: stream)
    if let uid {
      await statistics.forget(proxy: uid)
      await questions.close(proxy: uid, stream: stream)
    }
    try result.get()
  }

  /// Messages to a proxy that wait to be written; what comes above that is dropped, and asked again by whoever wants it.
  private static let waitingResponses = 256

  /// Takes one message; returns the uid if it registered the workload.
  private func take(
    _ message: AttachRequest, identity: SPIFFEID, stream: UInt64, uid: String?
  ) async throws(RPCError) -> String? {
    var attached: String?
    if let registration = message.registration {
      do throws(RegistrationRefusal) {
        try await registry.attach(
          registration, health: message.health?.health ?? .healthy, identity: identity, stream: stream)
      } catch {
        throw RPCError(code: error.statusCode, message: error.sentence)
      }
      attached = registration.uid
    } else if let health = message.health, uid != nil {
      await registry.report(health.health, stream: stream)
    }
    if message.health?.health == .draining, let proxy = attached ?? uid { await directory.noteEnding(proxy: proxy) }
    guard let proxy = attached ?? uid else {
      throw RPCError(code: .failedPrecondition, message: RegistrationRefusal.registrationFirst.sentence)
    }
    if let report = message.quota { await quotas?.report(report, stream: stream) }
    if !message.answers.isEmpty { await questions.answered(message.answers, proxy: proxy) }
    if var report = message.statistics {
      // A proxy speaks for its own end only, and calls `unknown` what it does not know.
      report.edges.removeAll { edge in
        let own = edge.reporter == .source ? edge.sourceNamespace : edge.destinationNamespace
        return !own.isEmpty && own != "unknown" && own != identity.namespace
      }
      await statistics.record(report, proxy: proxy)
      await directory.noteCertificate(proxy: proxy, notAfterSeconds: report.certificateNotAfter)
    }
    return attached
  }
}

extension RegistrationRefusal {
  fileprivate var statusCode: RPCError.Code {
    switch self {
    case .registrationFirst: .failedPrecondition
    case .identityMismatch, .foreignIdentity, .uidTaken: .permissionDenied
    case .invalidField, .oneWorkloadPerStream: .invalidArgument
    case .tooManyWorkloads: .resourceExhausted
    }
  }
}
