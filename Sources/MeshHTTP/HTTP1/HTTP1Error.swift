/// Why an HTTP/1 message is refused. After any of these the connection cannot be used for another message.
package enum HTTP1Error: UInt8, Error, Sendable, CaseIterable {
  // The start line.
  case badMethod, badTarget, badEscape, escapedNul, dotSegmentParameter, targetTooLong
  case badVersion, unsupportedVersion, http2Preface, badStatusLine
  // The shape of the head.
  case badLineEnd, badFieldName, noColon, spaceBeforeColon, lineFolding, badFieldValue, headTooLarge, tooManyFields
  // Host and target.
  case missingHost, repeatedHost, badAuthority, authorityMismatch, badTargetForm, bodyOnConnect
  // Framing.
  case badContentLength, repeatedContentLength, lengthAndChunked, badTransferEncoding, unsupportedTransferCoding
  case transferEncodingOnHTTP10, badConnection, unsupportedExpectation
  // The body.
  case badChunkSize, chunkExtension, badChunkEnd, trailersTooLarge, forbiddenTrailer, truncatedBody

  /// The status to answer a request with that failed like this; the same failure in a response means 502.
  package var status: UInt16 {
    switch self {
    case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
    case .targetTooLong: 414
    case .unsupportedTransferCoding: 501
    case .unsupportedVersion, .http2Preface: 505
    case .unsupportedExpectation: 417
    default: 400
    }
  }

  /// A short name out of a fixed set, for metric labels and logs.
  package var reason: StaticString {
    switch self {
    case .badMethod: "bad_method"
    case .badTarget: "bad_target"
    case .badEscape: "bad_escape"
    case .escapedNul: "escaped_nul"
    case .dotSegmentParameter: "dot_segment_parameter"
    case .targetTooLong: "target_too_long"
    case .badVersion: "bad_version"
    case .unsupportedVersion: "unsupported_version"
    case .http2Preface: "http2_preface"
    case .badStatusLine: "bad_status_line"
    case .badLineEnd: "bad_line_end"
    case .badFieldName: "bad_field_name"
    case .noColon: "no_colon"
    case .spaceBeforeColon: "space_before_colon"
    case .lineFolding: "line_folding"
    case .badFieldValue: "bad_field_value"
    case .headTooLarge: "head_too_large"
    case .tooManyFields: "too_many_fields"
    case .missingHost: "missing_host"
    case .repeatedHost: "repeated_host"
    case .badAuthority: "bad_authority"
    case .authorityMismatch: "authority_mismatch"
    case .badTargetForm: "bad_target_form"
    case .bodyOnConnect: "body_on_connect"
    case .badContentLength: "bad_content_length"
    case .repeatedContentLength: "repeated_content_length"
    case .lengthAndChunked: "length_and_chunked"
    case .badTransferEncoding: "bad_transfer_encoding"
    case .unsupportedTransferCoding: "unsupported_transfer_coding"
    case .transferEncodingOnHTTP10: "transfer_encoding_on_http10"
    case .badConnection: "bad_connection"
    case .unsupportedExpectation: "unsupported_expectation"
    case .badChunkSize: "bad_chunk_size"
    case .chunkExtension: "chunk_extension"
    case .badChunkEnd: "bad_chunk_end"
    case .trailersTooLarge: "trailers_too_large"
    case .forbiddenTrailer: "forbidden_trailer"
    case .truncatedBody: "truncated_body"
    }
  }

  init(_ problem: TargetProblem) {
    switch problem {
    case .invalidByte, .notAbsolute: self = .badTarget
    case .invalidEscape: self = .badEscape
    case .escapedNul: self = .escapedNul
    case .dotSegmentParameter: self = .dotSegmentParameter
    case .noRoom: self = .targetTooLong
    }
  }
}

/// What came of looking for a message head in the bytes received so far.
package enum HTTP1ParseResult: Equatable, Sendable {
  /// The head is not complete. Read more, and pass the count seen so far as `scanned` next time.
  case needMore
  /// The head takes the first `length` bytes; what follows is its body or the next message.
  case complete(length: Int)
  /// The head is refused.
  case failure(HTTP1Error)
}

/// Limits of HTTP/1 messages.
package struct HTTP1Limits: Sendable {
  /// Largest head in bytes, from the start line to the empty line; 60 KiB unless set, at most 1 MiB.
  package let maxHeadBytes: Int
  /// Largest number of fields; 100 unless set, at most `FieldSet.capacity` (128). The fields storage given to the
  /// parser must hold this many.
  package let maxFields: Int
  /// Longest request target in bytes; 16 KiB unless set, at most the head.
  package let maxTargetBytes: Int
  /// Largest trailer section in bytes; 8 KiB unless set, at most the head.
  package let maxTrailerBytes: Int

  /// Limits; values out of bounds are moved to the nearest bound.
  package init(
    maxHeadBytes: Int = 60 * 1024, maxFields: Int = 100, maxTargetBytes: Int = 16 * 1024,
    maxTrailerBytes: Int = 8 * 1024
  ) {
    let head = min(max(maxHeadBytes, 64), 1 << 20)
    self.maxHeadBytes = head
    self.maxFields = min(max(maxFields, 1), FieldSet.capacity)
    self.maxTargetBytes = min(max(maxTargetBytes, 1), head)
    self.maxTrailerBytes = min(max(maxTrailerBytes, 2), head)
  }
}
