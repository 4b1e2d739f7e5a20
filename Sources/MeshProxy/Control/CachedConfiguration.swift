package import MeshWire

/// What a proxy keeps on disk of its configuration, so that it serves without a control plane: a protobuf message of
/// snapshot (1), versions (2) and program (3).
package struct CachedConfiguration: Sendable {
  /// Everything that was in force.
  package var snapshot: PackedSnapshot
  /// The versions of the snapshot's resources.
  package var versions: [CachedVersion] = []
  /// Name and version of the program that wrote it. Another program may know fields that this one dropped, and so
  /// takes the configuration, but not the versions.
  package var program = ""

  package init(_ snapshot: PackedSnapshot) { self.snapshot = snapshot }

  /// Reads what `protobuf` wrote.
  package init(protobuf bytes: [UInt8]) throws(WireError) {
    let parts = try CachedParts(protobuf: bytes)
    snapshot = try PackedSnapshot(protobuf: parts.snapshot)
    versions = parts.versions
    program = parts.program
  }

  package func protobuf() -> [UInt8] {
    var parts = CachedParts()
    parts.snapshot = snapshot.protobuf()
    parts.versions = versions
    parts.program = program
    return parts.protobuf()
  }
}

/// A cached configuration whose snapshot has not been read.
private struct CachedParts: WireMessage {
  var snapshot: [UInt8] = []
  var versions: [CachedVersion] = []
  var program = ""

  mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "snapshot", &snapshot)
    try c.field(2, "versions", &versions)
    try c.field(3, "program", &program)
  }
}

/// The version of one cached resource.
package struct CachedVersion: WireMessage {
  package var typeURL = ""
  package var name = ""
  package var version = ""

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "typeUrl", &typeURL)
    try c.field(2, "name", &name)
    try c.field(3, "version", &version)
  }
}

/// The certificate and key that a proxy keeps beside its configuration; for the owner's eyes only (mode 0600).
package struct CachedIdentity: WireMessage {
  /// PEM, leaf first.
  package var chain = ""
  /// PKCS#8 in PEM.
  package var privateKey = ""
  /// When it was received, seconds since 1970.
  package var receivedSeconds: UInt64 = 0

  package init() {}
  package mutating func fields<C: WireCoder>(_ c: inout C) throws(WireError) {
    try c.field(1, "chain", &chain)
    try c.field(2, "privateKey", &privateKey)
    try c.field(3, "receivedSeconds", &receivedSeconds)
  }
}
