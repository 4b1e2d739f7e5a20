/// Error codes as RST_STREAM and GOAWAY carry them (RFC 9113, section 7). Unknown codes of peers are kept as they are.
package struct HTTP2ErrorCode: RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt32

  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package static let noError = HTTP2ErrorCode(rawValue: 0)
  package static let protocolError = HTTP2ErrorCode(rawValue: 1)
  package static let internalError = HTTP2ErrorCode(rawValue: 2)
  package static let flowControlError = HTTP2ErrorCode(rawValue: 3)
  package static let settingsTimeout = HTTP2ErrorCode(rawValue: 4)
  package static let streamClosed = HTTP2ErrorCode(rawValue: 5)
  package static let frameSizeError = HTTP2ErrorCode(rawValue: 6)
  package static let refusedStream = HTTP2ErrorCode(rawValue: 7)
  package static let cancel = HTTP2ErrorCode(rawValue: 8)
  package static let compressionError = HTTP2ErrorCode(rawValue: 9)
  package static let connectError = HTTP2ErrorCode(rawValue: 10)
  package static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)
  package static let inadequateSecurity = HTTP2ErrorCode(rawValue: 12)
  package static let http11Required = HTTP2ErrorCode(rawValue: 13)
}

/// Why a connection or a stream was ended by this side: a bounded list, for metric labels and logs.
package enum HTTP2Reason: UInt8, Sendable, CaseIterable {
  // The connection: frames.
  case badPreface, frameTooLarge, badFrameSize, badStreamID, frameOutOfPlace, frameOnIdleStream, streamReused,
    badPadding
  case badSetting, zeroWindowUpdate, windowOverflow, windowExceeded, badHeaderBlock, pushRefused
  // The connection: floods.
  case headerBomb, continuationFlood, controlFlood, emptyFrameFlood, priorityFlood, windowUpdateFlood, resetFlood
  case controlQueueFull
  // A stream: its head.
  case badFieldName, badFieldValue, connectionSpecificField, badTE, badPseudoField, missingPseudoField, badMethod,
    badPath
  case badAuthority, authorityMismatch, badStatus, badContentLength, headTooLarge, badTrailers, unexpectedHead
  // A stream: the rest.
  case contentLengthMismatch, tooManyStreams, frameOnClosedStream, draining
  // A stream that the peer had reset before it was looked at.
  case cancelled

  /// The code that the peer is told.
  package var code: HTTP2ErrorCode {
    switch self {
    case .frameTooLarge, .badFrameSize: .frameSizeError
    case .windowOverflow, .windowExceeded: .flowControlError
    case .badHeaderBlock, .headerBomb: .compressionError
    case .continuationFlood, .controlFlood, .emptyFrameFlood, .priorityFlood, .windowUpdateFlood, .resetFlood,
      .controlQueueFull, .headTooLarge:
      .enhanceYourCalm
    case .tooManyStreams, .draining: .refusedStream
    case .cancelled: .cancel
    case .frameOnClosedStream: .streamClosed
    default: .protocolError
    }
  }

  /// A short name out of a fixed set.
  package var reason: StaticString {
    switch self {
    case .badPreface: "bad_preface"
    case .frameTooLarge: "frame_too_large"
    case .badFrameSize: "bad_frame_size"
    case .badStreamID: "bad_stream_id"
    case .frameOutOfPlace: "frame_out_of_place"
    case .frameOnIdleStream: "frame_on_idle_stream"
    case .streamReused: "stream_reused"
    case .badPadding: "bad_padding"
    case .badSetting: "bad_setting"
    case .zeroWindowUpdate: "zero_window_update"
    case .windowOverflow: "window_overflow"
    case .windowExceeded: "window_exceeded"
    case .badHeaderBlock: "bad_header_block"
    case .pushRefused: "push_refused"
    case .headerBomb: "header_bomb"
    case .continuationFlood: "continuation_flood"
    case .controlFlood: "control_flood"
    case .emptyFrameFlood: "empty_frame_flood"
    case .priorityFlood: "priority_flood"
    case .windowUpdateFlood: "window_update_flood"
    case .resetFlood: "reset_flood"
    case .controlQueueFull: "control_queue_full"
    case .badFieldName: "bad_field_name"
    case .badFieldValue: "bad_field_value"
    case .connectionSpecificField: "connection_specific_field"
    case .badTE: "bad_te"
    case .badPseudoField: "bad_pseudo_field"
    case .missingPseudoField: "missing_pseudo_field"
    case .badMethod: "bad_method"
    case .badPath: "bad_path"
    case .badAuthority: "bad_authority"
    case .authorityMismatch: "authority_mismatch"
    case .badStatus: "bad_status"
    case .badContentLength: "bad_content_length"
    case .headTooLarge: "head_too_large"
    case .badTrailers: "bad_trailers"
    case .unexpectedHead: "unexpected_head"
    case .contentLengthMismatch: "content_length_mismatch"
    case .tooManyStreams: "too_many_streams"
    case .frameOnClosedStream: "frame_on_closed_stream"
    case .draining: "draining"
    case .cancelled: "cancelled"
    }
  }
}

/// Frame types (RFC 9113, section 6).
enum FrameType {
  static let data: UInt8 = 0
  static let headers: UInt8 = 1
  static let priority: UInt8 = 2
  static let reset: UInt8 = 3
  static let settings: UInt8 = 4
  static let pushPromise: UInt8 = 5
  static let ping: UInt8 = 6
  static let goAway: UInt8 = 7
  static let windowUpdate: UInt8 = 8
  static let continuation: UInt8 = 9
}

/// Frame flags.
enum FrameFlag {
  static let endStream: UInt8 = 0x1
  static let ack: UInt8 = 0x1
  static let endHeaders: UInt8 = 0x4
  static let padded: UInt8 = 0x8
  static let priority: UInt8 = 0x20
}

/// Identifiers of settings (RFC 9113, section 6.5.2; RFC 8441, section 3).
enum Setting {
  static let headerTableSize: UInt16 = 1
  static let enablePush: UInt16 = 2
  static let maxConcurrentStreams: UInt16 = 3
  static let initialWindowSize: UInt16 = 4
  static let maxFrameSize: UInt16 = 5
  static let maxHeaderListSize: UInt16 = 6
  static let enableConnectProtocol: UInt16 = 8
}
