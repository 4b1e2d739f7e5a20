import CNIOBoringSSL

// What a session knows after its handshake.
extension TLSSession {
  /// Whether the handshake is over and the session can carry data.
  package var isOpen: Bool { state.pointee.phase == .open }

  /// Why the session failed, if it did.
  package var failure: TLSFailure? { state.pointee.phase == .failed ? state.pointee.failure : nil }

  /// The peer's SPIFFE ID as it stands in its certificate, valid until `free()`; empty if it showed none.
  package var peerIdentity: UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: state.pointee.identity, count: state.pointee.identityCount)
  }

  /// SHA-256 of the peer's certificate (DER), as in `Hash=` of `x-forwarded-client-cert`; nil if it showed none.
  package var peerCertificateSHA256: (UInt64, UInt64, UInt64, UInt64)? {
    state.pointee.identityCount > 0 ? state.pointee.leafSHA256 : nil
  }

  /// When the peer's certificates end, in seconds since 1970; nil if it showed none.
  package var peerNotAfterSeconds: Int64? {
    state.pointee.identityCount > 0 ? state.pointee.peerNotAfterSeconds : nil
  }

  /// Which of the settings' protocols was agreed on; nil: none.
  package var negotiatedProtocol: Int? {
    state.pointee.protocolIndex == SessionState.noProtocol ? nil : Int(state.pointee.protocolIndex)
  }

  /// Whether the handshake was a short one.
  package var isResumed: Bool { state.pointee.resumed }

  /// Takes the newest ticket that the server gave a client, if there is one that was not taken yet.
  package func takeTicket() -> TLSTicket? {
    guard let session = state.pointee.ticket else { return nil }
    state.pointee.ticket = nil
    return TLSTicket(session: session, trust: state.pointee.context.takeUnretainedValue().trustMark)
  }

  /// The cipher's standard name, such as `TLS_AES_128_GCM_SHA256`.
  package var cipherName: String {
    guard let cipher = state.pointee.cipher, let name = SSL_CIPHER_standard_name(cipher) else {
      return ""
    }
    return String(cString: name)
  }

  /// The name of the version, such as `TLSv1.3`.
  package var versionName: String {
    switch state.pointee.version {
    case UInt16(TLS1_3_VERSION): "TLSv1.3"
    case UInt16(TLS1_2_VERSION): "TLSv1.2"
    default: ""
    }
  }

  /// The name of the group that keys were agreed in, such as `X25519MLKEM768`; empty for none.
  package var groupName: String {
    guard let name = SSL_get_group_name(state.pointee.group) else { return "" }
    return String(cString: name)
  }
}
