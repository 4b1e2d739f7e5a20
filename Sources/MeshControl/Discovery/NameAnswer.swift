/// What name servers said of one kind of addresses of a name.
package enum NameAnswer: Sendable, Equatable {
  /// The addresses, as text, and how long the answer holds. None: the name is there and has no addresses of this kind.
  case addresses([String], holds: Duration)
  case failed(NameFailure)
}

/// Why a name has no new answer.
package enum NameFailure: String, Sendable, Equatable, CaseIterable {
  /// There is no such name (NXDOMAIN).
  case noSuchName = "NameNotFound"
  /// The name is there and has no address.
  case noAddresses = "NoAddresses"
  /// No server answered in time, or none with more than an error (SERVFAIL, REFUSED, an answer that cannot be read).
  case noAnswer = "NoAnswer"

  /// What happened, in words that follow the name.
  package var sentence: String {
    switch self {
    case .noSuchName: "does not exist (NXDOMAIN)"
    case .noAddresses: "has no address"
    case .noAnswer: "got no answer: the name servers said nothing in time, or failed (SERVFAIL)"
    }
  }

  /// How to mend it.
  package var remedy: String {
    switch self {
    case .noSuchName, .noAddresses: "correct externalName, or give the name its addresses in DNS"
    case .noAnswer: "check the name servers of the control plane (/etc/resolv.conf, or `--name-server`)"
    }
  }
}

/// What is known of a name.
package struct KnownName: Sendable, Equatable {
  /// The last addresses that it had, by kind, in order; nil: never has there been an answer.
  package var ipv4: [String]?
  package var ipv6: [String]?
  /// Why the last question brought no answer; the addresses are then those of an earlier one.
  package var failure: NameFailure?

  package init(ipv4: [String]? = nil, ipv6: [String]? = nil, failure: NameFailure? = nil) {
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.failure = failure
  }

  /// Whether there has ever been an answer with an address.
  package var isAnswered: Bool { ipv4 != nil || ipv6 != nil }
}

/// Asks name servers. Waiting is theirs to bound, to some seconds.
package protocol NameResolver: Sendable {
  /// - Parameter wantsIPv6: whether IPv6 addresses (AAAA) are wanted instead of IPv4's (A).
  func addresses(of name: String, wantsIPv6: Bool) async -> NameAnswer
  /// Whether this machine has an IPv6 address that reaches beyond itself and its link.
  func hasIPv6() -> Bool
}

/// Takes what is found out about names; the compiler of configuration is behind it.
package protocol NameSink: Sendable {
  /// The names whose addresses services want.
  func wantedNames() async -> Set<String>
  /// Everything known of them.
  /// - Parameter hasIPv6: whether IPv6 addresses are of use where a service does not ask for them.
  func take(names: [String: KnownName], hasIPv6: Bool) async
}
