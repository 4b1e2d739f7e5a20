// What a rule does beyond changing headers and paths.

/// A copy of requests that goes to another service, whose answer nobody waits for (Gateway API
/// `HTTPRequestMirrorFilter`).
package struct Mirror: Hashable, Sendable {
  package var backend: BackendReference
  /// The share that is copied: `numerator` of `denominator`. 0 of 1 is none.
  package var numerator: UInt32
  /// Never 0. Default 1: with a numerator of 1 every request is copied.
  package var denominator: UInt32

  package init(_ backend: BackendReference, numerator: UInt32 = 1, denominator: UInt32 = 1) {
    self.backend = backend
    self.numerator = numerator
    self.denominator = max(1, denominator)
  }
}

/// An origin that may share an answer (Gateway API `CORSOrigin`): `https://shop.example.org`, `https://*.example.org`,
/// `http://*:8080`. A port that is left out is the scheme's own.
package struct CORSOrigin: Hashable, Sendable {
  /// As it was written, in lower case; `*` for every origin.
  package var text: String

  package init(_ text: String) { self.text = text.lowercased() }
}

/// Cross-origin resource sharing (Gateway API `HTTPCORSFilter`; the Fetch standard, section 3.2).
package struct CORSPolicy: Hashable, Sendable {
  /// `*` alone for every one. Empty: no origin is allowed.
  package var origins: [CORSOrigin]
  /// Method names as they are written; `*` alone for every one. GET, HEAD and POST are always allowed.
  package var methods: [String]
  /// Names of request headers; `*` alone for every one.
  package var headers: [String]
  /// Names of response headers that scripts may read; `*` for every one.
  package var exposed: [String]
  package var allowsCredentials: Bool
  /// How long a client may remember the answer to a preflight request, seconds. Default 5.
  package var maxAgeSeconds: UInt32

  package init(
    origins: [CORSOrigin], methods: [String] = [], headers: [String] = [], exposed: [String] = [],
    allowsCredentials: Bool = false, maxAgeSeconds: UInt32 = 5
  ) {
    self.origins = origins
    self.methods = methods
    self.headers = headers
    self.exposed = exposed
    self.allowsCredentials = allowsCredentials
    self.maxAgeSeconds = maxAgeSeconds
  }
}

/// How requests of one session find the same endpoint again (GEP-1619).
package struct SessionPersistence: Hashable, Sendable {
  package enum Carrier: Hashable, Sendable {
    /// A cookie of this name and path. `lifetime` nil: until the client ends its own session.
    case cookie(name: String, path: String, lifetime: Duration?)
    /// A header of this name.
    case header(name: String)
  }

  package var carrier: Carrier
  /// After this time the session ends, whatever happens. Nil: no limit.
  package var absoluteTimeout: Duration?

  package init(_ carrier: Carrier, absoluteTimeout: Duration? = nil) {
    self.carrier = carrier
    self.absoluteTimeout = absoluteTimeout
  }
}

/// The place of a gRPC match among others: the longer service first, then the longer method (Gateway API `GRPCRouteRule`).
package struct GRPCRank: Hashable, Sendable {
  /// Bytes of the service's name or expression; 0 where the match names none.
  package var serviceLength: Int
  /// Bytes of the method's name or expression; 0 where the match names none.
  package var methodLength: Int

  package init(serviceLength: Int, methodLength: Int) {
    self.serviceLength = serviceLength
    self.methodLength = methodLength
  }
}
