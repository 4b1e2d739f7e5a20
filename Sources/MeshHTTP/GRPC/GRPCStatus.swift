/// Status codes of gRPC, as `grpc-status` carries them.
package enum GRPCStatus: UInt8, Sendable, CaseIterable {
  case ok, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
  case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable, dataLoss
  case unauthenticated

  /// The name in the specification, as people and metrics know it.
  package var name: StaticString {
    switch self {
    case .ok: "OK"
    case .cancelled: "CANCELLED"
    case .unknown: "UNKNOWN"
    case .invalidArgument: "INVALID_ARGUMENT"
    case .deadlineExceeded: "DEADLINE_EXCEEDED"
    case .notFound: "NOT_FOUND"
    case .alreadyExists: "ALREADY_EXISTS"
    case .permissionDenied: "PERMISSION_DENIED"
    case .resourceExhausted: "RESOURCE_EXHAUSTED"
    case .failedPrecondition: "FAILED_PRECONDITION"
    case .aborted: "ABORTED"
    case .outOfRange: "OUT_OF_RANGE"
    case .unimplemented: "UNIMPLEMENTED"
    case .internal: "INTERNAL"
    case .unavailable: "UNAVAILABLE"
    case .dataLoss: "DATA_LOSS"
    case .unauthenticated: "UNAUTHENTICATED"
    }
  }

  /// The code in a `grpc-status` value; `.unknown` for anything but 0 to 16 in decimal digits.
  package init(value: UnsafePointer<UInt8>, _ count: Int) {
    guard count <= 2, let number = Decimal.parse(value, count), number <= 16 else {
      self = .unknown
      return
    }
    self = GRPCStatus(rawValue: UInt8(truncatingIfNeeded: number)) ?? .unknown
  }

  /// The status of a call that was answered in plain HTTP, without `grpc-status` ("HTTP to gRPC Status Code Mapping").
  package init(httpStatus: UInt16) {
    switch httpStatus {
    case 400: self = .internal
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }

  /// The status of a call whose stream was reset with this code ("gRPC over HTTP2", section Errors).
  package init(reset code: HTTP2ErrorCode) {
    switch code {
    case .refusedStream: self = .unavailable
    case .cancel: self = .cancelled
    case .enhanceYourCalm: self = .resourceExhausted
    case .inadequateSecurity: self = .permissionDenied
    case .noError, .protocolError, .internalError, .flowControlError, .settingsTimeout, .frameSizeError,
      .compressionError, .connectError:
      self = .internal
    default: self = .unknown
    }
  }

  /// The status to give a gRPC client where the mesh answers a plain HTTP one with this status.
  package static func forMeshAnswer(httpStatus: UInt16) -> GRPCStatus {
    switch httpStatus {
    case 408, 504: .deadlineExceeded
    case 413, 429, 431: .resourceExhausted
    case 404: .unimplemented
    case 400: .internal
    default: GRPCStatus(httpStatus: httpStatus)
    }
  }
}
