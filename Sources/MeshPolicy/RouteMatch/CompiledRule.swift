package import MeshModel

/// A run of entries in one of a route table's arrays.
package struct TableSlice: Sendable, BitwiseCopyable {
  package var start: Int32
  package var count: Int32

  package static let empty = TableSlice(start: 0, count: 0)

  @inlinable
  package init(start: Int32, count: Int32) {
    self.start = start
    self.count = count
  }
}

/// What becomes of a request that a rule matched.
package enum CompiledAction: UInt8, Sendable, BitwiseCopyable {
  /// `RouteTableView.pickBackend` says where to.
  case forward
  /// `RouteTableView.writeLocation` says where to; the status is in `redirectStatus`.
  case redirect
  /// `answerStatus`, `answerContentType`, `answerBody`.
  case respond
}

/// How a path is changed; the text is beside it.
package enum CompiledPathChange: UInt8, Sendable, BitwiseCopyable {
  case none, replaceFull, replacePrefix
}

/// What requests have in place of their own host and path.
package struct CompiledRewrite: Sendable, BitwiseCopyable {
  /// The new Host; empty to leave it.
  package var host = ByteRange.empty
  package var pathChange = CompiledPathChange.none
  package var pathText = ByteRange.empty

  /// Changes nothing.
  package init() {}
}

/// A rule as the traffic path reads it: numbers, and ranges relative to `RouteTableView.bytes`.
package struct CompiledRule: Sendable, BitwiseCopyable {
  /// `namespace/name/rule`: the label `route_name`.
  package var label = ByteRange.empty
  package var action = CompiledAction.forward
  package var backends = TableSlice.empty
  package var totalWeight: UInt32 = 0
  /// Index in `RouteTableView.edits` of the changes to requests for which no backend is chosen; nil for none.
  package var requestEdit: Int32?
  /// Index in `RouteTableView.edits` of the changes to answers where no backend was chosen; nil for none.
  package var responseEdit: Int32?
  package var rewrite = CompiledRewrite()
  package var redirect = CompiledRedirect()
  package var answerStatus: UInt16 = 0
  package var answerContentType = ByteRange.empty
  package var answerBody = ByteRange.empty
  /// Never `.inherited`: the policy's where the route says nothing.
  package var requestTimeout = TimeLimit.inherited
  /// Never `.inherited`.
  package var backendRequestTimeout = TimeLimit.inherited
  /// The policy's, with what the route says.
  package var retry = RetrySettings()
  /// Index range in `RouteTableView.mirrors`: copies of the requests.
  package var mirrors = TableSlice.empty
  /// Index in `RouteTableView.sharing`; nil: the rule has nothing to do with origins.
  package var sharing: Int32?
  /// Whether the rule is a GRPCRoute's.
  package var isGRPC = false
}

/// Copies of a rule's requests for one service.
package struct CompiledMirror: Sendable, BitwiseCopyable {
  /// The number that the resolver gave for the service's port.
  package var cluster: Int32
  /// The share that is copied: `numerator` of `denominator`, which is never 0.
  package var numerator: UInt32
  package var denominator: UInt32
}

/// A redirect; ranges are empty where the request's own part is kept.
package struct CompiledRedirect: Sendable, BitwiseCopyable {
  package var status: UInt16 = 302
  package var scheme = ByteRange.empty
  package var host = ByteRange.empty
  /// Nil where the rule names none.
  package var port: UInt16?
  package var pathChange = CompiledPathChange.none
  package var pathText = ByteRange.empty
}

/// One of a rule's backends.
package struct CompiledBackend: Sendable, BitwiseCopyable {
  /// The number that the resolver gave for the service's port; meaningless where `unusable` is set.
  package var cluster: Int32
  /// Why requests for this backend are answered with an error instead: `backend_not_found` and the like.
  package var unusable: Reason?
  /// The sum of the weights up to and including this one.
  package var cumulativeWeight: UInt32
  /// Index in `RouteTableView.edits` of the rule's and the backend's changes together; nil for none.
  package var requestEdit: Int32?
  /// The same for answers.
  package var responseEdit: Int32?
  /// The backend's, with what it leaves out taken from the rule.
  package var rewrite = CompiledRewrite()
  /// Index range in `RouteTableView.mirrors`, besides the rule's.
  package var mirrors = TableSlice.empty
}

/// What a backend's name stands for, as the owner of the clusters knows it.
package enum BackendResolution: Sendable, BitwiseCopyable {
  case cluster(Int32)
  /// Its share of the requests is answered with this reason (Gateway API: an invalid backend's share gets a 500).
  case unusable(Reason)
}

/// Where a request goes.
package enum BackendPick: Sendable, BitwiseCopyable {
  /// Index in `RouteTableView.backends`.
  case backend(Int32)
  case unavailable(Reason)
}

/// What `RouteTableView.match` found.
package struct RouteHit: Sendable, BitwiseCopyable {
  /// Index in `RouteTableView.rules`, which is the rule's place in what the table was compiled from; -1 for none.
  package var rule: Int32
  /// How many bytes of the path the rule's prefix matched, without a final slash; 0 for `/` and for other kinds.
  package var prefixLength: UInt32

  package static let none = RouteHit(rule: -1, prefixLength: 0)

  @inlinable
  package init(rule: Int32, prefixLength: UInt32) {
    self.rule = rule
    self.prefixLength = prefixLength
  }

  @inlinable package var isNone: Bool { rule < 0 }
}
