package import MeshControl
package import MeshWire

/// The server's half of one delta xDS stream, without the stream: requests go in, responses come out.
///
/// It follows the incremental variant of the xDS transport protocol: subscriptions by name and by wildcard, versions
/// that the client kept from an earlier stream, one nonce per response, ACK and NACK per type. Of each type at most one
/// response is unanswered; whatever changes meanwhile is sent as one response afterwards, so that a slow client costs
/// no queue. A large state is cut into several responses; the system version of all but the last ends in `+`.
/// New configuration is sent before old configuration is taken away (make before break): trust, the proxy itself,
/// workloads, services; then removals in the opposite order.
package struct DeltaSession: Sendable {
  /// The order in which additions and changes are sent. Removals go the other way.
  package static let order: [ConfigType] = [.trustBundle, .proxyConfig, .workload, .serviceConfig]

  /// Limits of one session; beyond them the stream is refused, or an answer is cut into several.
  package struct Limits: Sendable {
    /// Payload after which a response is closed and the rest follows after its acknowledgement, bytes.
    package var responseBytes = 64 * 1024
    /// Names that a client may subscribe to one by one, and versions it may bring along, per type.
    package var namesPerType = 100_000
    /// Longest resource name, bytes.
    package var nameBytes = 1024
    /// What is kept of a refusal's words, bytes.
    package var messageBytes = 2048

    package init() {}
  }

  /// A request that ends the stream.
  package enum Violation: Error, Equatable, Sendable {
    case tooManyNames(limit: Int)
    case nameTooLong(limit: Int)
    case emptyName
  }

  /// What a request meant.
  package enum Outcome: Equatable, Sendable {
    /// A subscription, or a change of one.
    case subscription
    case acknowledged(ConfigType, version: String)
    case refused(ConfigType, version: String, message: String)
    /// It answers a response that has been overtaken; what it says about subscriptions was taken.
    case stale
    /// The type is not served here. Nothing will come for it.
    case unknownType(String)
  }

  private var types: [ConfigType: DeltaTypeState] = [:]
  private var desired: [ConfigType: [String: ConfigResource]] = [:]
  private var revision: UInt64?
  private var nonceCounter: UInt64 = 0
  private let noncePrefix: String
  private let limits: Limits

  /// - Parameters:
  ///   - noncePrefix: makes the nonces of this stream differ from those of other streams.
  ///   - limits: the bounds that are enforced.
  package init(noncePrefix: String, limits: Limits = Limits()) {
    self.noncePrefix = noncePrefix
    self.limits = limits
  }

  /// Takes a request of the client.
  package mutating func receive(_ request: DeltaDiscoveryRequest) throws(Violation) -> Outcome {
    guard let type = ConfigType(typeURL: request.typeURL) else { return .unknownType(request.typeURL) }
    try check(request, against: types[type])
    let isFirst = types[type] == nil
    var state = types[type] ?? DeltaTypeState()
    defer { types[type] = state }
    if isFirst { state.begin(with: request.initialVersions, subscribe: request.subscribe) }
    state.subscribe(request.subscribe, keeping: isFirst ? request.initialVersions : [:])
    state.unsubscribe(request.unsubscribe)
    guard !request.responseNonce.isEmpty else { return .subscription }
    guard let answered = state.answer(nonce: request.responseNonce) else { return .stale }
    guard let detail = request.errorDetail else {
      state.accept(answered)
      return .acknowledged(type, version: answered.systemVersion)
    }
    let message = Self.clip(detail.message, to: limits.messageBytes)
    state.refuse(answered, names: Self.refusedNames(detail), message: message)
    return .refused(type, version: answered.systemVersion, message: message)
  }

  /// Takes the configuration that is in force from now on.
  package mutating func update(_ view: ConfigView) {
    desired = view.resources
    revision = view.revision
    for type in Array(types.keys) { types[type]?.isDirty = true }
  }

  /// The next response that may be sent now, or nil: there is nothing to say, or the answers to what was sent are
  /// awaited. To be called until it returns nil.
  package mutating func nextResponse() -> DeltaDiscoveryResponse? {
    guard let revision else { return nil }
    for type in Self.order {
      guard var state = types[type], state.isDirty else { continue }
      // What stands later in the order may name what is still missing here.
      guard !state.isAwaitingAnswer else {
        if state.hasUpserts(desired[type] ?? [:]) { return nil }
        continue
      }
      if let batch = state.upserts(desired[type] ?? [:], limit: limits.responseBytes) {
        return send(batch, of: type, in: &state, revision: revision)
      }
    }
    for type in Self.order.reversed() {
      guard var state = types[type], state.isDirty, !state.isAwaitingAnswer else { continue }
      if let batch = state.removals(desired[type] ?? [:], limit: limits.responseBytes) {
        return send(batch, of: type, in: &state, revision: revision)
      }
      state.settle(at: revision)
      types[type] = state
    }
    return nil
  }

  /// How the client stands towards the configuration of one type; nil: it has not asked for the type.
  package func standing(of type: ConfigType) -> DeltaStanding? {
    guard let state = types[type] else { return nil }
    return DeltaStanding(
      sentVersion: state.sentVersion, ackedVersion: state.ackedVersion, refusal: state.refusal?.message,
      isSettled: !state.isAwaitingAnswer && !state.isDirty, takenRevision: state.takenRevision)
  }

  /// Types that the client asked for.
  package var subscribedTypes: [ConfigType] { Self.order.filter { types[$0] != nil } }

  private mutating func send(
    _ batch: DeltaTypeState.Batch, of type: ConfigType, in state: inout DeltaTypeState, revision: UInt64
  ) -> DeltaDiscoveryResponse {
    nonceCounter &+= 1
    let nonce = "\(noncePrefix)-\(nonceCounter)"
    let systemVersion = batch.isPartial ? "\(revision)+" : "\(revision)"
    // Removals are sent when there is nothing to add or to change any more; additions may have removals behind them.
    let isLast = !batch.isPartial && (!batch.removed.isEmpty || !state.hasRemovals(desired[type] ?? [:]))
    state.sent(batch, nonce: nonce, systemVersion: systemVersion, completes: isLast ? revision : nil)
    types[type] = state
    var response = DeltaDiscoveryResponse()
    response.systemVersion = systemVersion
    response.typeURL = type.typeURL
    response.nonce = nonce
    response.removed = batch.removed
    response.resources = batch.resources.map { resource in
      var any = AnyMessage()
      any.typeURL = type.typeURL
      any.value = resource.bytes
      var sent = DiscoveredResource()
      sent.name = resource.name
      sent.version = resource.version
      sent.resource = any
      return sent
    }
    return response
  }

  private func check(_ request: DeltaDiscoveryRequest, against state: DeltaTypeState?) throws(Violation) {
    let known = (state?.subscribedCount ?? 0) + request.subscribe.count
    guard known <= limits.namesPerType, request.initialVersions.count <= limits.namesPerType else {
      throw .tooManyNames(limit: limits.namesPerType)
    }
    for name in request.subscribe {
      guard !name.isEmpty else { throw .emptyName }
      guard name.utf8.count <= limits.nameBytes else { throw .nameTooLong(limit: limits.nameBytes) }
    }
    for (name, version) in request.initialVersions
    where name.utf8.count > limits.nameBytes || version.utf8.count > limits.nameBytes {
      throw .nameTooLong(limit: limits.nameBytes)
    }
  }

  /// The names in a NACK of a proxy of this mesh; nil if the NACK does not say which resources it means.
  private static func refusedNames(_ status: RPCStatus) -> Set<String>? {
    for detail in status.details where detail.typeURL == RefusedResources.typeURL {
      guard let refused = try? RefusedResources(protobuf: detail.value), !refused.resources.isEmpty else { continue }
      return Set(refused.resources.map(\.name))
    }
    return nil
  }

  private static func clip(_ text: String, to limit: Int) -> String {
    text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit), as: UTF8.self) + "…"
  }
}

/// How a client stands towards one type of configuration.
package struct DeltaStanding: Sendable, Equatable {
  /// Revision of the last response; nil: none was sent.
  package var sentVersion: String?
  /// Revision of the last response that was accepted; nil: none was.
  package var ackedVersion: String?
  /// The client's words for what it refuses and what still stands; nil: nothing is refused.
  package var refusal: String?
  /// Everything there is was sent and answered.
  package var isSettled: Bool
  /// The newest revision of which everything was sent and answered, by acceptance or refusal; 0: none.
  package var takenRevision: UInt64
}
