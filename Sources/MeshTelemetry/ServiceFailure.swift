package import MeshModel

/// What success rates put on the service: `stat`, `edges`, `routes`, the dashboard and rollouts alike.
package enum ServiceFailure {
  /// Whether an exchange counts as a failure of the service: by HTTP status, for gRPC by the statuses that tell of the
  /// server, and where an answer was broken off after its head. A client that left before the head is none: what it would
  /// have been answered is not known (Envoy's `DC`).
  ///
  /// - Parameters:
  ///   - status: of the answer's head; 0: there was none.
  ///   - grpcStatus: nil where it was no call of gRPC.
  ///   - reason: what the mesh gave as a reason, where it gave one.
  package static func counts(status: UInt16, grpcStatus: UInt8?, reason: Reason?) -> Bool {
    if status == 0 { return reason != .clientReset }
    if status >= 500 || reason?.breaksAnswer ?? false { return true }
    switch grpcStatus {
    case 2, 4, 13, 14, 15: return true
    default: return false
    }
  }
}
