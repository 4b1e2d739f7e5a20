package import MeshWire

/// Says what a change of configuration would do to routing, before it is made.
package protocol ChangeEvaluator: Sendable {
  /// - Parameters:
  ///   - changes: objects as they would be applied; nothing is stored.
  ///   - questions: requests to follow before and after.
  func evaluate(_ changes: [Resource], questions: [EvaluationQuestion]) async -> Evaluation
}

/// A request that a person asks about.
package struct EvaluationQuestion: Sendable, Equatable {
  /// `NAME` or `NAMESPACE/NAME` of the caller; its namespace decides which routes hold. Empty: somebody in `default`.
  package var from: String
  /// `NAME`, `NAMESPACE/NAME` or a host.
  package var to: String
  package var path: String
  package var method: String
  package var headers: [Header]

  package struct Header: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  package init(from: String = "", to: String, path: String = "/", method: String = "GET", headers: [Header] = []) {
    self.from = from
    self.to = to
    self.path = path
    self.method = method
    self.headers = headers
  }

  /// The namespace of the caller.
  package var namespace: String {
    let parts = from.split(separator: "/", maxSplits: 1).map(String.init)
    return parts.count == 2 ? parts[0] : "default"
  }

  /// The host to ask for.
  package var authority: String {
    let parts = to.split(separator: "/", maxSplits: 1).map(String.init)
    return parts.count == 2 ? "\(parts[1]).\(parts[0])" : to
  }
}

/// What a change would do.
package struct Evaluation: Sendable, Equatable {
  /// One question, followed before and after.
  package struct Answer: Sendable, Equatable {
    package var question: EvaluationQuestion
    /// In words: `rule shop/canary/0: 95 % catalog, 5 % catalog-v2`.
    package var before: String
    package var after: String

    package init(question: EvaluationQuestion, before: String, after: String) {
      self.question = question
      self.before = before
      self.after = after
    }
  }

  /// Requests of the last hour that would go another way.
  package struct Effect: Sendable, Equatable {
    package var from: String
    package var to: String
    /// Requests an hour, from the counts of the last one and the sample below.
    package var requestsPerHour: Double
    package var before: String
    package var after: String
    /// Requests that were looked at one by one, out of those that the proxies keep; 0: one was made up from the rule that
    /// took them.
    package var sampleCount: Int

    package init(
      from: String, to: String, requestsPerHour: Double, before: String, after: String, sampleCount: Int
    ) {
      self.from = from
      self.to = to
      self.requestsPerHour = requestsPerHour
      self.before = before
      self.after = after
      self.sampleCount = sampleCount
    }
  }

  package var answers: [Answer] = []
  /// One for each pair of services between which something moves.
  package var sentences: [String] = []
  package var effects: [Effect] = []
  /// What would come of requests with header fields or queries that proxies do not keep.
  package var conditions: [Condition] = []
  /// Requests an hour that would go the same way.
  package var unchangedPerHour: Double = 0
  /// Requests an hour that cannot be followed: none is kept, and none can be made up from the rule that took them.
  package var unknownPerHour: Double = 0
  /// What proxies would refuse.
  package var problems: [String] = []

  package init() {}
}

/// The mesh as it is, or would be: what proxies of a namespace would work from.
package struct MeshPicture: Sendable {
  let index: MeshIndex
  let compiled: CompiledMesh
  let trustDomain: String

  /// What a proxy in this namespace would have.
  package func snapshot(for namespace: String) -> Snapshot {
    var snapshot = Snapshot()
    snapshot.services = compiled.services(for: namespace).values.compactMap { try? ServiceConfig(protobuf: $0.bytes) }
      .sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
    snapshot.workloads = compiled.workloads.values.compactMap { try? WorkloadConfig(protobuf: $0.bytes) }
    var node = NodeIdentity()
    node.namespace = namespace
    node.trustDomain = trustDomain
    snapshot.node = node
    return snapshot
  }
}

extension ConfigEngine {
  /// The mesh as it is, and as it would be with these objects applied.
  package func preview(_ changes: [Resource]) -> (before: MeshPicture, after: MeshPicture) {
    let now = picture
    var index = now.index
    var compiled = now.compiled
    var affected = Affected()
    for change in changes {
      var change = change
      // An object keeps its age, by which routes are ordered.
      change.metadata.creationTimestamp = index.metadata(of: change.key)?.creationTimestamp
      affected.formUnion(index.put(change))
    }
    compiled.update(affected, from: index)
    return (now, MeshPicture(index: index, compiled: compiled, trustDomain: now.trustDomain))
  }
}
