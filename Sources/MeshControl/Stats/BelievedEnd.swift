import MeshWire

/// Which end's word counts where both ends of a call report it: a request that both report is one request.
///
/// A caller that tells of anything is believed for all that it calls: its proxy counts every request once, by how it ended,
/// while the called count attempts, of which a request may have several, at workloads that never ended one. Whoever
/// calls without a proxy is told of by the called alone.
///
/// A called workload's own word about itself is taken for each caller apart, and not for a service: the caller counts a
/// request for the service that it asked for and for the backend that its route chose, the called for the service that its
/// port belongs to, so that services do not tell which reports are of the same requests. Workloads do, whatever routes
/// come and go between. What never left the caller is known to it alone, and adds to what the others are believed.
struct BelievedEnd {
  /// Who calls: a workload, or, where several share an identity and the called cannot tell them apart, its service.
  private struct Caller: Hashable {
    var namespace: String
    var name: String
    var isService: Bool
  }

  private struct Pair: Hashable {
    /// Nil: somebody with an identity of the mesh whom the called cannot name.
    var caller: Caller?
    var called: StatisticsName
  }

  /// Who tells of calls of its own.
  private var tellingCallers: Set<Caller> = []
  private var toldByDestination: Set<Pair> = []
  /// Workloads that some caller with a proxy tells of.
  private var calledBySources: Set<StatisticsName> = []

  init(_ keys: some Sequence<EdgeKey>) {
    for key in keys {
      switch key.reporter {
      case .source:
        tellingCallers.formUnion(Self.pairs(key).compactMap(\.caller))
        if !key.destinationWorkload.isEmpty { calledBySources.insert(key.called) }
      case .destination where !key.destinationWorkload.isEmpty: toldByDestination.formUnion(Self.pairs(key))
      case .destination: break
      }
    }
  }

  /// The names under which the other end may tell of the same caller; none of one without an identity.
  private static func pairs(_ key: EdgeKey) -> [Pair] {
    var found: [Pair] = []
    if !key.source.isEmpty {
      let caller = Caller(namespace: key.sourceNamespace, name: key.source, isService: false)
      found.append(Pair(caller: caller, called: key.called))
    }
    if !key.sourceService.isEmpty {
      let caller = Caller(namespace: key.sourceNamespace, name: key.sourceService, isService: true)
      found.append(Pair(caller: caller, called: key.called))
    }
    if found.isEmpty, key.isMutualTLS, key.reporter == .destination {
      found.append(Pair(caller: nil, called: key.called))
    }
    return found
  }

  /// Whether what `key` counts is to be added, where the word of the callers is preferred, or that of the called.
  func counts(_ key: EdgeKey, preferring preferred: Reporter) -> Bool {
    switch (key.reporter, preferred) {
    case (.source, .source): return true
    case (.destination, .destination): return true
    case (.source, .destination):
      // A workload has nothing to do with what reached none.
      guard !key.destinationWorkload.isEmpty else { return false }
      let isTold = Self.pairs(key).contains { toldByDestination.contains($0) }
      return !isTold && !toldByDestination.contains(Pair(caller: nil, called: key.called))
    case (.destination, .source):
      let pairs = Self.pairs(key)
      if pairs.first?.caller == nil, !pairs.isEmpty { return !calledBySources.contains(key.called) }
      return !pairs.contains { $0.caller.map { tellingCallers.contains($0) } ?? false }
    }
  }
}

extension EdgeKey {
  /// The workload that was called; its name is empty where none was reached.
  var called: StatisticsName { StatisticsName(namespace: backendNamespace, name: destinationWorkload) }
}
