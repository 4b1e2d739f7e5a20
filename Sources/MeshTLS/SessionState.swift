import CNIOBoringSSL
import MeshModel

/// What a session is made of: plain memory, reached by the library's callbacks through the `SSL` object.
struct SessionState {
  enum Phase: UInt8 {
    case idle, handshaking, open, closedByPeer, failed
  }

  /// The library's connection; gone once it has nothing left to do.
  var ssl: OpaquePointer?
  /// The records of an open TLS 1.3 connection; nil while the library does them.
  var records: UnsafeMutablePointer<RecordLayer>?
  /// The secrets of a handshake under way.
  var secrets: UnsafeMutablePointer<TrafficSecrets>?
  /// A ticket that leaves with the first answer.
  var held = TLSOutput()
  /// What was agreed on.
  var cipher: OpaquePointer?
  var version: UInt16 = 0
  var group: UInt16 = 0
  /// Held for as long as the session lives.
  var context: Unmanaged<TLSContext>
  /// Whom the peer may be; held for as long as the session lives.
  var expectation: Unmanaged<TLSExpectation>?
  var phase = Phase.idle
  var resumed = false
  /// Index into the settings' protocols, or `SessionState.noProtocol`.
  var protocolIndex = SessionState.noProtocol
  /// Whether a byte of the peer was seen.
  var receivedAny = false
  var failure: TLSFailure?

  // Set for the length of a call.
  var input: UnsafePointer<UInt8>?
  var inputCount = 0
  var inputUsed = 0
  var output: UnsafeMutablePointer<TLSOutput>?
  var nowSeconds: Int64 = 0

  // What was learned of the peer.
  var identity: UnsafeMutablePointer<UInt8>?
  var identityCount = 0
  var peerNotAfterSeconds: Int64 = 0
  var leafSHA256: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  /// A client's newest ticket, until it is taken.
  var ticket: OpaquePointer?

  static let noProtocol: UInt8 = 255

  init(ssl: OpaquePointer, context: Unmanaged<TLSContext>, expectation: Unmanaged<TLSExpectation>?) {
    self.ssl = ssl
    self.context = context
    self.expectation = expectation
  }

  /// Copies what was learned of the peer; false when there is no memory.
  mutating func keep(_ peer: VerifiedPeer) -> Bool {
    let bytes = Array((peer.identity?.uri ?? "").utf8)
    guard peer.leafSHA256.count == 32 else { return false }
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
    copy.update(from: bytes, count: bytes.count)
    identity?.deallocate()
    identity = copy
    identityCount = bytes.count
    peerNotAfterSeconds = peer.notAfterSeconds
    withUnsafeMutableBytes(of: &leafSHA256) { $0.copyBytes(from: peer.leafSHA256) }
    return true
  }
}

/// The session that an `SSL` object belongs to.
func sessionState(of ssl: OpaquePointer) -> UnsafeMutablePointer<SessionState>? {
  SSL_get_ex_data(ssl, 0)?.assumingMemoryBound(to: SessionState.self)
}

/// Names what the library just complained about, and empties its queue of errors.
func libraryFailure(_ state: UnsafeMutablePointer<SessionState>) -> TLSFailure {
  defer { ERR_clear_error() }
  if let ours = state.pointee.failure { return ours }
  var code = ERR_get_error()
  guard code != 0 else { return .internalFailure }
  // The TLS layer's own complaint says more than that of the cipher beneath it, which comes first.
  while code != 0, ERR_GET_LIB(code) != Int32(ERR_LIB_SSL) { code = ERR_get_error() }
  return failure(ofReason: ERR_GET_REASON(code))
}

private func failure(ofReason reason: Int32) -> TLSFailure {
  if reason >= SSL_AD_REASON_OFFSET { return .peerAlert(UInt8(truncatingIfNeeded: reason - SSL_AD_REASON_OFFSET)) }
  switch reason {
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .noClientCertificate
  case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_SUPPORTED_VERSIONS_ENABLED, SSL_R_INAPPROPRIATE_FALLBACK,
    SSL_R_UNKNOWN_SSL_VERSION:
    return .versionTooOld
  case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: return .notTLS
  case SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_INVALID_ALPN_PROTOCOL: return .protocolMismatch
  case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SHARED_GROUP, SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS, SSL_R_WRONG_CURVE,
    SSL_R_WRONG_CIPHER_RETURNED, SSL_R_WRONG_SIGNATURE_TYPE, SSL_R_HANDSHAKE_FAILURE_ON_CLIENT_HELLO:
    return .noCommonParameters
  case SSL_R_NO_RENEGOTIATION, SSL_R_RENEGOTIATION_MISMATCH: return .renegotiation
  case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_R_DATA_LENGTH_TOO_LONG, SSL_R_ENCRYPTED_LENGTH_TOO_LONG,
    SSL_R_INVALID_OUTER_RECORD_TYPE, SSL_R_TOO_MANY_EMPTY_FRAGMENTS, SSL_R_WRONG_VERSION_NUMBER:
    return .badRecord
  case SSL_R_CERTIFICATE_VERIFY_FAILED, SSL_R_CANNOT_PARSE_LEAF_CERT, SSL_R_BAD_ECC_CERT,
    SSL_R_UNKNOWN_CERTIFICATE_TYPE:
    return .certificateInvalid
  default: return .protocolViolation
  }
}
