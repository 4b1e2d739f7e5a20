internal import MeshHTTP
internal import MeshModel

extension HTTP1Error {
  /// The mesh's reason for refusing a request that breaks HTTP/1 like this.
  var reasonCode: Reason {
    switch self {
    case .badMethod, .badStatusLine: .malformedRequestLine
    case .badTarget, .badTargetForm, .bodyOnConnect: .invalidRequestTarget
    case .badEscape, .escapedNul, .dotSegmentParameter: .invalidPath
    case .targetTooLong: .requestLineTooLong
    case .badVersion, .unsupportedVersion, .http2Preface: .unsupportedVersion
    case .badLineEnd: .malformedRequest
    case .badFieldName, .noColon, .spaceBeforeColon, .badFieldValue, .badConnection: .invalidHeaderField
    case .lineFolding: .obsoleteLineFolding
    case .headTooLarge, .trailersTooLarge: .requestHeadTooLarge
    case .tooManyFields: .tooManyHeaders
    case .missingHost: .missingHost
    case .repeatedHost, .badAuthority, .authorityMismatch: .conflictingHost
    case .badContentLength, .repeatedContentLength: .invalidContentLength
    case .lengthAndChunked: .conflictingFraming
    case .badTransferEncoding, .transferEncodingOnHTTP10: .invalidTransferEncoding
    case .unsupportedTransferCoding: .unsupportedTransferEncoding
    case .unsupportedExpectation: .expectationFailed
    case .badChunkSize, .chunkExtension, .badChunkEnd: .invalidChunk
    case .forbiddenTrailer: .invalidHeaderField
    case .truncatedBody: .clientReset
    }
  }
}
