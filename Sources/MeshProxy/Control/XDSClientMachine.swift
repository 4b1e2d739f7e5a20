package import MeshWire

/// The proxy's half of the delta xDS stream, without the stream: responses go in, requests come out.
///
/// It subscribes to all four types by wildcard. Of each response it applies what it can read and what the validator
/// takes; the rest is refused by name (NACK), and what was there before stays in force. After a reconnect it brings
/// along the versions that it has, so that nothing is sent again.
package struct XDSClientMachine: Sendable {
  /// Resources of all types that are kept; more are refused.
  package static let maximumResources = 200_000
  /// Refused resources that one NACK names.
  static let maximumRefusals = 100

  /// One resource, decoded.
  package enum Resource: Sendable, Equatable {
    case service(ServiceConfig)
    case workload(WorkloadConfig)
    case proxy(ProxyConfig)
    case trust(TrustBundle)
  }

  /// What a response led to.
  package struct Outcome: Sendable, Equatable {
    /// The answer to be sent on the stream: ACK or NACK.
    package var reply: DeltaDiscoveryRequest
    /// What was refused, with the type, for the log.
    package var refused: [RefusedResource]
    /// Whether the snapshot has changed and is complete, so that it is to be put in force. What comes in several
    /// responses waits for the last of them.
    package var isToBeApplied: Bool
  }

  /// As it came: what it says is read again where it is needed, since that is several times as large.
  private struct Kept: Sendable {
    var version: KeptVersion
    var bytes: [UInt8]
  }

  /// The version of a resource. Those of this mesh are hashes, sixteen digits to base 16, and need no memory of their own.
  private enum KeptVersion: Sendable {
    case hash(UInt64)
    case text(String)

    init(_ text: String) {
      if let hash = UInt64(text, radix: 16), Self.text(of: hash) == text {
        self = .hash(hash)
      } else {
        self = .text(text)
      }
    }

    var text: String {
      switch self {
      case .hash(let hash): Self.text(of: hash)
      case .text(let text): text
      }
    }

    private static func text(of hash: UInt64) -> String {
      let digits = String(hash, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
  }

  private let node: XDSNode
  private let program: String
  private let validate: @Sendable (Resource) -> String?
  private var kept: [ResourceType: [String: Kept]] = [:]
  /// Types of which everything has been received at least once, in this run or before it.
  private var complete: Set<ResourceType> = []
  /// Changes that were not handed out yet because other types are still missing.
  private var hasUnappliedChanges = false

  /// - Parameters:
  ///   - node: who the proxy is; `id` is the uid of its workload.
  ///   - program: name and version of this program.
  ///   - cached: what an earlier run left on disk.
  ///   - validate: says why a resource cannot be put in force; nil: it can.
  package init(
    node: XDSNode, program: String, cached: CachedConfiguration? = nil,
    validate: @escaping @Sendable (Resource) -> String? = { _ in nil }
  ) {
    self.node = node
    self.program = program
    self.validate = validate
    if let cached { restore(cached) }
  }

  private mutating func restore(_ cached: CachedConfiguration) {
    var versions: [ResourceType: [String: String]] = [:]
    for one in cached.versions where cached.program == program {
      guard let type = ResourceType(rawValue: one.typeURL) else { continue }
      versions[type, default: [:]][one.name] = one.version
    }
    let common = cached.snapshot.common
    for service in cached.snapshot.services { restore(.service, service.bytes, versions) }
    for workload in cached.snapshot.workloads { restore(.workload, workload.bytes, versions) }
    for trust in common.trust { restore(.trust, Packed(trust).bytes, versions) }
    if let proxy = common.proxy { restore(.proxy, Packed(proxy).bytes, versions) }
    complete = Set(ResourceType.allCases)
  }

  /// A version that is not known is brought along as an empty one: the resource is sent anew, or removed.
  private mutating func restore(_ type: ResourceType, _ bytes: [UInt8], _ versions: [ResourceType: [String: String]]) {
    guard let resource = try? Resource(type, bytes), validate(resource) == nil else { return }
    let name = resource.key.name
    kept[type, default: [:]][name] = Kept(version: KeptVersion(versions[type]?[name] ?? ""), bytes: bytes)
  }

  /// Whether there is a whole configuration to work from: the proxy may become ready.
  package var isComplete: Bool { complete.count == ResourceType.allCases.count }

  /// The requests with which a new stream begins.
  package func opened() -> [DeltaDiscoveryRequest] {
    Self.order.enumerated().map { index, type in
      var request = DeltaDiscoveryRequest()
      if index == 0 { request.node = node }
      request.typeURL = type.rawValue
      request.initialVersions = (kept[type] ?? [:]).mapValues(\.version.text)
      return request
    }
  }

  /// What comes first is what the others rest on.
  static let order: [ResourceType] = [.trust, .proxy, .workload, .service]

  /// Takes a response. Nil: it is of a type that was not asked for, and is left unanswered.
  package mutating func received(_ response: DeltaDiscoveryResponse) -> Outcome? {
    guard let type = ResourceType(rawValue: response.typeURL) else { return nil }
    var refused: [RefusedResource] = []
    var hasChanged = false
    for resource in response.resources {
      if let reason = take(resource, of: type) {
        var one = RefusedResource()
        one.name = resource.name
        one.message = reason
        refused.append(one)
      } else {
        hasChanged = true
      }
    }
    for name in response.removed where kept[type]?.removeValue(forKey: name) != nil { hasChanged = true }
    var isNewlyComplete = false
    let isPartial = response.systemVersion.hasSuffix("+")
    if !isPartial, !isComplete {
      complete.insert(type)
      isNewlyComplete = isComplete
    }
    hasUnappliedChanges = hasUnappliedChanges || hasChanged
    // A large change is put in force as a whole, once its last part is there.
    let isToBeApplied = isNewlyComplete || (isComplete && hasUnappliedChanges && !isPartial)
    if isToBeApplied { hasUnappliedChanges = false }
    return Outcome(reply: reply(to: response, refused: refused), refused: refused, isToBeApplied: isToBeApplied)
  }

  private func reply(to response: DeltaDiscoveryResponse, refused: [RefusedResource]) -> DeltaDiscoveryRequest {
    var request = DeltaDiscoveryRequest()
    request.typeURL = response.typeURL
    request.responseNonce = response.nonce
    guard !refused.isEmpty else { return request }
    var list = RefusedResources()
    list.resources = refused
    var detail = AnyMessage()
    detail.typeURL = RefusedResources.typeURL
    detail.value = list.protobuf()
    var status = RPCStatus()
    status.code = 3
    let named = refused.prefix(Self.maximumRefusals).map { "\($0.name): \($0.message)" }
    status.message = named.joined(separator: "; ")
    if refused.count > named.count { status.message += "; and \(refused.count - named.count) more" }
    status.details = [detail]
    request.errorDetail = status
    return request
  }

  /// Takes one resource in; returns why not.
  private mutating func take(_ received: DiscoveredResource, of type: ResourceType) -> String? {
    guard !received.name.isEmpty else { return "the resource has no name" }
    guard let any = received.resource else { return "the resource is empty" }
    guard any.typeURL == type.rawValue else { return "the resource is of type \(any.typeURL)" }
    let isNew = kept[type]?[received.name] == nil
    guard !isNew || kept.values.reduce(0, { $0 + $1.count }) < Self.maximumResources else {
      return "there are \(Self.maximumResources) resources already"
    }
    do throws(WireError) {
      let resource = try Resource(type, any.value)
      guard resource.key.name == received.name else { return "its content is that of \(resource.key.name)" }
      if let reason = validate(resource) { return reason }
      // Copies, so that nothing stays of the response: what is kept lies together.
      let name = String(decoding: Array(received.name.utf8), as: UTF8.self)
      let bytes = Packed<AnyMessage>(copying: any.value).bytes
      kept[type, default: [:]][name] = Kept(version: KeptVersion(received.version), bytes: bytes)
      return nil
    } catch {
      return "\(error)"
    }
  }
}

extension XDSClientMachine.Resource {
  /// The type and the name under which it is subscribed to.
  package var key: (type: ResourceType, name: String) {
    switch self {
    case .service(let service): (.service, "\(service.namespace)/\(service.name)")
    case .workload(let workload): (.workload, workload.uid)
    case .proxy: (.proxy, "self")
    case .trust(let trust): (.trust, trust.trustDomain)
    }
  }

  init(_ type: ResourceType, _ bytes: [UInt8]) throws(WireError) {
    switch type {
    case .service: self = .service(try ServiceConfig(protobuf: bytes))
    case .workload: self = .workload(try WorkloadConfig(protobuf: bytes))
    case .proxy: self = .proxy(try ProxyConfig(protobuf: bytes))
    case .trust: self = .trust(try TrustBundle(protobuf: bytes))
    }
  }
}

extension XDSClientMachine {
  private func sorted(_ type: ResourceType) -> [(key: String, value: Kept)] {
    (kept[type] ?? [:]).sorted { $0.key < $1.key }
  }

  /// Puts what was received into `snapshot`; what the snapshot says of node, listeners and certificate stays.
  package func fill(_ snapshot: inout PackedSnapshot) {
    snapshot.services = sorted(.service).map { Packed(bytes: $0.value.bytes) }
    snapshot.workloads = sorted(.workload).map { Packed(bytes: $0.value.bytes) }
    snapshot.common.proxy = sorted(.proxy).compactMap { try? ProxyConfig(protobuf: $0.value.bytes) }.last
    snapshot.common.trust = sorted(.trust).compactMap { try? TrustBundle(protobuf: $0.value.bytes) }
  }

  /// What is to be kept on disk: everything that is in force, with its versions.
  ///
  /// - Parameter snapshot: gives node, listeners and certificate.
  package func cache(_ snapshot: PackedSnapshot) -> CachedConfiguration {
    var cached = CachedConfiguration(snapshot)
    fill(&cached.snapshot)
    cached.program = program
    for type in Self.order {
      for (name, one) in sorted(type) {
        var version = CachedVersion()
        version.typeURL = type.rawValue
        version.name = name
        version.version = one.version.text
        cached.versions.append(version)
      }
    }
    return cached
  }
}
