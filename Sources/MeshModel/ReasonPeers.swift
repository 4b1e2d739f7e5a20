// The texts of the reasons that have to do with what peers send and who they are.

extension Reason {
  /// What the client sent: syntax and framing.
  var framingDetail: ReasonDetail {
    switch self {
    case .malformedRequest:
      ReasonDetail(
        "malformed_request", 400, .downstreamProtocolError, "The request is not valid HTTP.",
        "Look at the client; RFC 9112 says what a request looks like.")
    case .malformedRequestLine:
      ReasonDetail(
        "malformed_request_line", 400, .downstreamProtocolError, "The request line is not valid.",
        "It is METHOD, one space, target, one space, HTTP/1.1 (RFC 9112, section 3).")
    case .invalidHeaderField:
      ReasonDetail(
        "invalid_header_field", 400, .downstreamProtocolError, "A header field is not valid.",
        "No space before the colon, no empty name, no NUL, CR or LF in a value (RFC 9112, section 5).")
    case .obsoleteLineFolding:
      ReasonDetail(
        "obsolete_line_folding", 400, .downstreamProtocolError, "A header field is folded over several lines.",
        "Send the field on one line (RFC 9112, section 5.2).")
    case .conflictingFraming:
      ReasonDetail(
        "conflicting_framing", 400, .downstreamProtocolError,
        "The request has both Content-Length and Transfer-Encoding.",
        "Send one of them (RFC 9112, section 6.3).")
    case .invalidContentLength:
      ReasonDetail(
        "invalid_content_length", 400, .downstreamProtocolError, "The Content-Length is not one decimal number.",
        "Send it once, digits only (RFC 9110, section 8.6).")
    case .invalidTransferEncoding:
      ReasonDetail(
        "invalid_transfer_encoding", 400, .downstreamProtocolError, "The Transfer-Encoding is not valid.",
        "Send `chunked` once and last, in HTTP/1.1 only (RFC 9112, section 6.1).")
    case .unsupportedTransferEncoding:
      ReasonDetail(
        "unsupported_transfer_encoding", 501, .downstreamProtocolError,
        "The Transfer-Encoding is one that the mesh does not know.",
        "Send `chunked`, and nothing else.")
    default:  // invalidChunk
      ReasonDetail(
        "invalid_chunk", 400, .downstreamProtocolError, "A chunk of the body is not valid.",
        "A chunk is a hexadecimal size, CRLF, the bytes, CRLF (RFC 9112, section 7.1).")
    }
  }

  /// What the client sent: target, sizes, HTTP/2; and clients that leave.
  var clientDetail: ReasonDetail {
    switch self {
    case .missingHost:
      ReasonDetail(
        "missing_host", 400, .downstreamProtocolError, "The request does not name exactly one host.",
        "Send one Host field (RFC 9112, section 3.2).")
    case .conflictingHost:
      ReasonDetail(
        "conflicting_host", 400, .downstreamProtocolError,
        "The request's target and its Host field name different hosts.",
        "Send the same host in both.")
    case .invalidRequestTarget:
      ReasonDetail(
        "invalid_request_target", 400, .downstreamProtocolError, "The request target is not valid.",
        "Send an absolute path, an absolute URI, or host:port with CONNECT (RFC 9112, section 3.2).")
    case .invalidPath:
      ReasonDetail(
        "invalid_path", 400, .downstreamProtocolError, "The path has no canonical form, or hides a slash from a rule.",
        "Escape it as RFC 3986 says. %2F and %5C pass only where no rule of the service tells paths apart.")
    case .unsupportedVersion:
      ReasonDetail(
        "unsupported_version", 505, .downstreamProtocolError, "The HTTP version is not one that the mesh speaks.",
        "Use HTTP/1.0, HTTP/1.1 or HTTP/2.")
    case .requestHeadTooLarge:
      ReasonDetail(
        "request_head_too_large", 431, .downstreamProtocolError, "The request's header block is over the limit.",
        "Send less than 60 KiB; large cookies are the usual cause.")
    case .tooManyHeaders:
      ReasonDetail(
        "too_many_headers", 431, .downstreamProtocolError, "The request has more header fields than the limit.",
        "Send at most 100 fields.")
    case .requestLineTooLong:
      ReasonDetail(
        "request_line_too_long", 414, .downstreamProtocolError, "The request target is over the limit.",
        "Send the data in the body.")
    case .expectationFailed:
      ReasonDetail(
        "expectation_failed", 417, .downstreamProtocolError,
        "The request expects something that the mesh does not know.",
        "Send `Expect: 100-continue` or no Expect at all.")
    case .clientReset:
      ReasonDetail(
        "client_reset", 0, .downstreamTermination, "The client went away before the answer was complete.",
        "Compare the client's timeout with the latency of the service.")
    case .http2ProtocolError:
      ReasonDetail(
        "http2_protocol_error", 0, .downstreamProtocolError, "The peer broke the rules of HTTP/2.",
        "Look at the peer; RFC 9113 says what it must send.")
    default:  // http2Flood
      ReasonDetail(
        "http2_flood", 0, .downstreamProtocolError, "The peer sent more control frames than the limits allow.",
        "A hostile or broken peer; the documentation names the limits.")
    }
  }

  /// TLS: certificates.
  var certificateDetail: ReasonDetail {
    switch self {
    case .tlsPlaintextRefused:
      ReasonDetail(
        "tls_plaintext_refused", 0, .downstreamProtocolError,
        "The peer spoke plaintext to a port that takes only mutual TLS.",
        "Give the client a sidecar, or set PeerAuthentication to PERMISSIVE while you move it.")
    case .tlsNoClientCertificate:
      ReasonDetail(
        "tls_no_client_certificate", 503, .upstreamFailure, "The peer showed no certificate.",
        "Give the client a sidecar, or set PeerAuthentication to PERMISSIVE while you move it.")
    case .tlsUnknownAuthority:
      ReasonDetail(
        "tls_unknown_authority", 503, .upstreamFailure,
        "The peer's certificate is not signed by an authority that this trust domain trusts.",
        "Check that both workloads belong to the same mesh; a change of root needs both bundles for a while.")
    case .tlsCertificateExpired:
      ReasonDetail(
        "tls_certificate_expired", 503, .upstreamFailure,
        "The peer's certificate has expired, or the clock of one side is wrong.",
        "Compare the clocks, then see why the peer could not renew: `apus proxy-status`.")
    case .tlsCertificateNotYetValid:
      ReasonDetail(
        "tls_certificate_not_yet_valid", 503, .upstreamFailure,
        "The peer's certificate is not valid yet: the clock of one side is wrong.",
        "Compare the clocks of the two machines and of the control plane.")
    case .tlsCertificateInvalid:
      ReasonDetail(
        "tls_certificate_invalid", 503, .upstreamFailure, "The peer's certificate or its chain is not valid.",
        "See the proxy's log for what is wrong with it, then let the peer renew.")
    case .tlsAuthorityAsLeaf:
      ReasonDetail(
        "tls_authority_as_leaf", 503, .upstreamFailure, "The peer showed a certificate of an authority as its own.",
        "Give the workload a leaf certificate; basicConstraints must not say CA.")
    case .tlsNoIdentity:
      ReasonDetail(
        "tls_no_identity", 503, .upstreamFailure, "The peer's certificate carries no SPIFFE ID.",
        "Let Apus, or another SPIFFE issuer, sign the workload's certificate.")
    default:  // tlsSeveralIdentities
      ReasonDetail(
        "tls_several_identities", 503, .upstreamFailure, "The peer's certificate carries more than one URI name.",
        "An X.509-SVID has exactly one (X.509-SVID, section 2).")
    }
  }

  /// TLS: identities and handshakes; our own certificate.
  var identityDetail: ReasonDetail {
    switch self {
    case .tlsInvalidIdentity:
      ReasonDetail(
        "tls_invalid_identity", 503, .upstreamFailure, "The SPIFFE ID in the peer's certificate is not valid.",
        "It is spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, at most 2048 bytes, not percent-encoded.")
    case .tlsForeignTrustDomain:
      ReasonDetail(
        "tls_foreign_trust_domain", 503, .upstreamFailure,
        "The peer's SPIFFE ID belongs to a trust domain that its authority may not sign for.",
        "Federate the trust domains, or correct the issuer.")
    case .tlsIdentityMismatch:
      ReasonDetail(
        "tls_identity_mismatch", 503, .upstreamFailure, "The peer's identity is not one that the service may have.",
        "Something else answers at that address, or under another account: see `apus get workloads`.")
    case .tlsVersionTooOld:
      ReasonDetail(
        "tls_version_too_old", 503, .upstreamFailure, "The peer offers only versions of TLS that are too old.",
        "Use TLS 1.3.")
    case .tlsProtocolMismatch:
      ReasonDetail(
        "tls_protocol_mismatch", 503, .upstreamFailure, "The peers have no application protocol in common.",
        "Check that both proxies are of versions that may be mixed: `apus proxy-status`.")
    case .tlsRenegotiation:
      ReasonDetail(
        "tls_renegotiation", 0, .downstreamProtocolError, "The peer asked to renegotiate.",
        "Use TLS 1.3, which has no renegotiation.")
    case .tlsHandshakeTimeout:
      ReasonDetail(
        "tls_handshake_timeout", 503, .upstreamFailure, "The TLS handshake took too long.",
        "Check the peer's load and the network.")
    case .tlsHandshakeFailure:
      ReasonDetail(
        "tls_handshake_failure", 503, .upstreamFailure, "The TLS handshake failed.",
        "See the proxy's log for the alert; the peer's log says what it disliked.")
    default:  // tlsNoOwnCertificate
      ReasonDetail(
        "tls_no_own_certificate", 503, .upstreamFailure,
        "This proxy has no certificate of its own, or its peer finds that it has expired.",
        "Compare the clocks of both sides, then see `apus proxy-status`: a proxy asks for a certificate again by itself."
      )
    }
  }
}
