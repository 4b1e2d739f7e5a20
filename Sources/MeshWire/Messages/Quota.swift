// Limits that all proxies of the mesh share: what proxies report of them on the stream `Attach`, and what they get.

/// What a proxy has let in, and turned away, since its last report.
package struct QuotaReport: WireMessage {
  /// Counts the reports of a stream, from 1; the grants that take a report into account repeat it.
  package var sequence: UInt64 = 0
  package var quotas: [QuotaUse] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "sequence", &sequence)
    try c.field(2, "quotas", &quotas)
  }
}

/// The use of one limit.
package struct QuotaUse: WireMessage {
  /// Its name, as `RateLimitConfig.quota` gives it.
  package var quota = ""
  package var keys: [QuotaKeyUse] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "quota", &quota)
    try c.field(2, "keys", &keys)
  }
}

/// The use of one key of a limit.
package struct QuotaKeyUse: WireMessage {
  /// The number of the key; 1 where all requests are counted together, and for keys that are not counted apart.
  package var key: UInt64 = 0
  /// Requests let in on this stream so far.
  package var used: UInt64 = 0
  /// Requests that came since the last report, those turned away included.
  package var arrived: UInt32 = 0
  /// The proxy gives its share up: nothing has come for a while.
  package var isReleased = false

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "key", &key)
    try c.field(2, "used", &used)
    try c.field(3, "arrived", &arrived)
    try c.field(4, "isReleased", &isReleased)
  }
}

/// What a proxy may let in.
package struct QuotaGrants: WireMessage {
  /// The last report that is taken into account.
  package var sequence: UInt64 = 0
  package var quotas: [QuotaGrant] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "sequence", &sequence)
    try c.field(2, "quotas", &quotas)
  }
}

/// What it may let in by one limit.
package struct QuotaGrant: WireMessage {
  package var quota = ""
  package var keys: [QuotaKeyGrant] = []

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "quota", &quota)
    try c.field(2, "keys", &keys)
  }
}

/// What it may let in of one key.
package struct QuotaKeyGrant: WireMessage {
  package var key: UInt64 = 0
  /// Requests that may be let in on this stream, those of the past included.
  package var allowed: UInt64 = 0
  /// When more may be expected, for those that are turned away.
  package var waitMilliseconds: UInt32 = 0
  /// Millionths of the limit that the proxy holds to when it hears nothing more.
  package var sharePerMillion: UInt32 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "key", &key)
    try c.field(2, "allowed", &allowed)
    try c.field(3, "waitMilliseconds", &waitMilliseconds)
    try c.field(4, "sharePerMillion", &sharePerMillion)
  }
}
