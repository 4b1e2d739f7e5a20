/// Every failure and every decision that the mesh itself makes: a bounded list, so that it can be a metric label.
///
/// The name is stable and is what people meet: in the header `x-apus-reason`, in the metric label `error_reason`, in the
/// access log and in the command line. Raw values are given out by the compiler in this order, start at 1 (0 means
/// "no reason" in packed keys) and are never written to disk or sent to a peer.
package enum Reason: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  // Routing: the mesh could not tell where to send the request, or answered it itself.
  case noService = 1, noRoute, backendNotFound, backendNotPermitted, noBackendWeight
  case noEndpoint, noHealthyEndpoint, connectTargetForbidden, directResponse, redirect, corsPreflight
  case maxForwardsReached
  // The upstream.
  case connectFailure, connectRefused, connectTimeout, upstreamReset, upstreamRefusedStream, upstreamTruncated
  case upstreamProtocolError, upstreamHeadTooLarge
  // Time.
  case requestTimeout, backendRequestTimeout, perTryTimeout, callerDeadlineExceeded, headerTimeout, bodyTimeout
  case streamIdleTimeout
  // Limits.
  case circuitOpenConnections, circuitOpenPending, circuitOpenRequests, circuitOpenRetries
  case retryBudgetExhausted, retryLimit, retryBodyTooLarge
  case overload, connectionLimit, descriptorLimit, rateLimited, faultInjected, quotaExceeded
  // What the client sent.
  case malformedRequest, malformedRequestLine, invalidHeaderField, obsoleteLineFolding, conflictingFraming
  case invalidContentLength, invalidTransferEncoding, unsupportedTransferEncoding, invalidChunk
  case missingHost, conflictingHost, invalidRequestTarget, invalidPath, unsupportedVersion
  case requestHeadTooLarge, tooManyHeaders, requestLineTooLong, expectationFailed
  case clientReset, http2ProtocolError, http2Flood
  // TLS and identity, on either side of a proxy.
  case tlsPlaintextRefused, tlsNoClientCertificate, tlsUnknownAuthority, tlsCertificateExpired
  case tlsCertificateNotYetValid, tlsCertificateInvalid, tlsAuthorityAsLeaf, tlsNoIdentity, tlsSeveralIdentities
  case tlsInvalidIdentity, tlsForeignTrustDomain, tlsIdentityMismatch, tlsVersionTooOld, tlsProtocolMismatch
  case tlsRenegotiation, tlsHandshakeTimeout, tlsHandshakeFailure, tlsNoOwnCertificate

  /// The stable name, snake case: the value of `x-apus-reason` and of the label `error_reason`.
  package var name: StaticString { detail.name }

  /// The status the mesh answers with; nil where the rule gives it (`direct_response`, `redirect`) or where there is
  /// nobody or no protocol to answer (a client that left, a response already begun, a handshake that failed).
  ///
  /// For the `tls_*` reasons this is the answer to the *application* when its own proxy could not reach the upstream;
  /// towards the peer whose handshake failed there is only a TLS alert.
  package var httpStatus: UInt16? { detail.status == 0 ? nil : detail.status }

  /// Whether it ends an answer whose head has gone out already, by what the endpoint did or for lack of time: such a
  /// request failed, whatever its status says.
  package var breaksAnswer: Bool {
    switch self {
    case .upstreamReset, .upstreamRefusedStream, .upstreamTruncated, .upstreamProtocolError, .upstreamHeadTooLarge,
      .requestTimeout, .backendRequestTimeout, .callerDeadlineExceeded, .streamIdleTimeout:
      true
    default: false
    }
  }

  /// The flag of Envoy's access log that is nearest, for dashboards and alerts made for it.
  package var flag: ResponseFlag { detail.flag }

  /// One sentence for people: what happened. It ends with a full stop and is the body of the mesh's answer.
  package var sentence: StaticString { detail.sentence }

  /// What to do about it, for people: shown by the command line beside the sentence.
  package var remedy: StaticString { detail.remedy }

  /// The name, status, flag and texts together.
  package var detail: ReasonDetail {
    switch rawValue {
    case ..<Reason.connectFailure.rawValue: routingDetail
    case ..<Reason.requestTimeout.rawValue: upstreamDetail
    case ..<Reason.circuitOpenConnections.rawValue: timeDetail
    case ..<Reason.overload.rawValue: limitDetail
    case ..<Reason.malformedRequest.rawValue: refusalDetail
    case ..<Reason.missingHost.rawValue: framingDetail
    case ..<Reason.tlsPlaintextRefused.rawValue: clientDetail
    case ..<Reason.tlsInvalidIdentity.rawValue: certificateDetail
    default: identityDetail
    }
  }

  /// The reason with this stable name, if there is one. For the command line and tests; a linear search.
  package init?(name: String) {
    guard let found = Reason.allCases.first(where: { $0.name.description == name }) else { return nil }
    self = found
  }
}

/// What is known of a `Reason`, all of it constant.
package struct ReasonDetail: Sendable {
  package let name: StaticString
  /// HTTP status, 0 where `Reason.httpStatus` is nil.
  package let status: UInt16
  package let flag: ResponseFlag
  package let sentence: StaticString
  package let remedy: StaticString

  init(
    _ name: StaticString, _ status: UInt16, _ flag: ResponseFlag, _ sentence: StaticString, _ remedy: StaticString
  ) {
    self.name = name
    self.status = status
    self.flag = flag
    self.sentence = sentence
    self.remedy = remedy
  }
}

/// The response flags of Envoy's access log (`%RESPONSE_FLAGS%`) that Apus uses, as the label `response_flags`.
package enum ResponseFlag: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  case none, noRoute, noCluster, noHealthyUpstream, upstreamFailure, upstreamOverflow, upstreamTimeout
  case upstreamTermination, upstreamRemoteReset, upstreamProtocolError, retryLimitExceeded
  case downstreamTermination, downstreamProtocolError, streamIdle, durationTimeout, overload, rateLimited
  case faultInjected, delayInjected, unauthorized

  /// The code as Envoy prints it; `-` for none.
  package var code: StaticString {
    switch self {
    case .none: "-"
    case .noRoute: "NR"
    case .noCluster: "NC"
    case .noHealthyUpstream: "UH"
    case .upstreamFailure: "UF"
    case .upstreamOverflow: "UO"
    case .upstreamTimeout: "UT"
    case .upstreamTermination: "UC"
    case .upstreamRemoteReset: "UR"
    case .upstreamProtocolError: "UPE"
    case .retryLimitExceeded: "URX"
    case .downstreamTermination: "DC"
    case .downstreamProtocolError: "DPE"
    case .streamIdle: "SI"
    case .durationTimeout: "DT"
    case .overload: "OM"
    case .rateLimited: "RL"
    case .faultInjected: "FI"
    case .delayInjected: "DI"
    case .unauthorized: "UAEX"
    }
  }
}
