internal import MeshModel
internal import MeshProxy
internal import MeshTLS

/// Certificates for the two proxies of a simulation, made once in a process: a root, and a leaf for each. They are the same
/// in every process, and signatures have one length, so that a seed takes the same course again.
struct SimulationCredentials: Sendable {
  let client: Credentials
  let server: Credentials

  static let clientIdentity = "spiffe://cluster.local/ns/default/sa/client"
  static let serverIdentity = "spiffe://cluster.local/ns/default/sa/server"

  /// - Throws: `TLSMaterialError`, which would be a fault of this file.
  init() throws {
    let root = try Self.pair(1)
    let name = "Simulation root"
    let certificate = try Self.certificate(subject: name, uri: nil, for: root, issuer: name, signer: root)
    let pem = Array(DER.pem("CERTIFICATE", certificate).utf8)
    let trust = try TLSTrust(roots: pem)
    func credentials(_ uri: String, _ pair: TLSKeyPair) throws -> Credentials {
      let leaf = try Self.certificate(subject: "", uri: uri, for: pair, issuer: name, signer: root)
      let identity = try pair.identity(chain: Array(DER.pem("CERTIFICATE", leaf).utf8) + pem)
      let domains = [try TrustDomain("cluster.local")]
      let tickets = TLSTicketKeys()
      return try Credentials { role, protocols in
        var settings = TLSSettings(
          role: role, identity: identity, trust: trust, trustDomains: domains, protocols: protocols)
        settings.signatures = .ed25519
        if case .server = role { settings.ticketKeys = tickets }
        return try TLSContext(settings)
      }
    }
    client = try credentials(Self.clientIdentity, Self.pair(2))
    server = try credentials(Self.serverIdentity, Self.pair(3))
  }

  private static func pair(_ number: UInt8) throws -> TLSKeyPair {
    try TLSKeyPair(ed25519: [UInt8](repeating: number, count: 32))
  }

  private static func certificate(
    subject: String, uri: String?, for pair: TLSKeyPair, issuer: String, signer: TLSKeyPair
  ) throws -> [UInt8] {
    let algorithm = signer.kind.signatureAlgorithm
    let times = ["250101000000Z", "351231000000Z"].map { DER.value(0x17, Array($0.utf8)) }
    let body = DER.sequence([
      DER.value(0xa0, DER.integer([2])), DER.integer([uri == nil ? 1 : 2]), algorithm, distinguished(issuer),
      DER.sequence(times), distinguished(subject), pair.publicKeyInfo,
      DER.value(0xa3, DER.sequence(extensions(uri))),
    ])
    return DER.sequence([body, algorithm, DER.bits(try signer.sign(body))])
  }

  private static func extensions(_ uri: String?) -> [[UInt8]] {
    let constraints = uri == nil ? DER.sequence([DER.boolean(true)]) : DER.sequence([])
    // Signing of certificates for the root, of handshakes for the leaves.
    let usage: UInt8 = uri == nil ? 0x04 : 0x80
    var all = [
      DER.sequence([DER.identifier([2, 5, 29, 19]), DER.boolean(true), DER.octets(constraints)]),
      DER.sequence([
        DER.identifier([2, 5, 29, 15]), DER.boolean(true),
        DER.octets(DER.value(0x03, [UInt8(usage.trailingZeroBitCount), usage])),
      ]),
    ]
    guard let uri else { return all }
    let purposes = [DER.identifier([1, 3, 6, 1, 5, 5, 7, 3, 1]), DER.identifier([1, 3, 6, 1, 5, 5, 7, 3, 2])]
    all.append(DER.sequence([DER.identifier([2, 5, 29, 37]), DER.octets(DER.sequence(purposes))]))
    let names = DER.sequence([DER.value(0x86, Array(uri.utf8))])
    all.append(DER.sequence([DER.identifier([2, 5, 29, 17]), DER.boolean(true), DER.octets(names)]))
    return all
  }

  private static func distinguished(_ name: String) -> [UInt8] {
    guard !name.isEmpty else { return DER.sequence([]) }
    return DER.sequence([DER.set([DER.sequence([DER.identifier([2, 5, 4, 3]), DER.utf8(name)])])])
  }
}
