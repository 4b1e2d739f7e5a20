import Foundation
import GRPCCore
import MeshIdentity
import MeshModel
import MeshTLS
import MeshWire
import MeshXDS
import SwiftASN1
import Testing
import X509

/// Certificates of an authority in a temporary folder, checked at any time.
private struct Authority {
  let authority: CertificateAuthority
  let now: Int64 = 1_800_000_000
  let identity: SPIFFEID
  let verifier: PeerVerifier

  init() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("peer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    authority = try CertificateAuthority.open(folder: folder.path + "/ca", trustDomain: .standard, nowSeconds: now)
    identity = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/catalog")
    verifier = PeerVerifier(roots: try certificates(authority.bundlePEM), trustDomain: .standard)
  }

  func leaf() throws -> [Certificate] {
    let request = try CertificateRequest(identity: identity)
    let signed = try authority.sign(
      request: Array(request.pem.utf8), identity: identity, lifeSeconds: 3600, nowSeconds: now)
    return try certificates(signed.chainPEM)
  }

  func verify(_ chain: [Certificate], after seconds: Int64) async -> Peer {
    await verifier.verify(chain, now: Date(timeIntervalSince1970: Double(now + seconds)))
  }
}

private func certificates(_ pem: String) throws -> [Certificate] {
  try PEMDocument.parseMultiple(pemString: pem).map { try Certificate(pemDocument: $0) }
}

@Suite struct PeerTests {
  @Test func aCertificateOfThisMeshProvesItsIdentityUntilItsEnd() async throws {
    let mesh = try Authority()
    let chain = try mesh.leaf()
    #expect(await mesh.verify(chain, after: 10) == .workload(mesh.identity, notAfter: mesh.now + 3600))
    #expect(await mesh.verify(chain, after: 3601) == .expired(mesh.identity, notAfter: mesh.now + 3600))
    #expect(await mesh.verify([], after: 10) == .anonymous)
  }

  @Test func anEarlyCertificateSpeaksOfTheClock() async throws {
    let mesh = try Authority()
    let early = await mesh.verify(try mesh.leaf(), after: -600)
    guard case .rejected(let sentence) = early else {
      Issue.record("it is taken: \(early)")
      return
    }
    #expect(sentence.contains("clock"))
  }

  @Test func certificatesOfOthersProveNothing() async throws {
    let mesh = try Authority(), other = try Authority()
    guard case .rejected = await mesh.verify(try other.leaf(), after: 10) else {
      Issue.record("another mesh's certificate is taken")
      return
    }
    guard case .rejected = await mesh.verify(try certificates(mesh.authority.intermediatePEM), after: 10) else {
      Issue.record("an authority is taken for a workload")
      return
    }
    // An expired certificate of another mesh is not a renewable one of ours.
    guard case .rejected = await mesh.verify(try other.leaf(), after: 4000) else {
      Issue.record("another mesh's expired certificate is taken")
      return
    }
  }
}

private struct FixedIssuer: CertificateIssuer, JoinTokenVerifier {
  let identity: SPIFFEID
  func issue(requestPEM: String, identity: SPIFFEID, lifetime: Duration?) -> [String] { [identity.uri] }
  func verify(token: String) throws(TokenRefusal) -> SPIFFEID {
    if token == "good" { return identity }
    throw .invalid("The join token has expired: ask for a new one.")
  }
}

@Suite struct CertificateServiceTests {
  private let identity: SPIFFEID
  private let other: SPIFFEID
  private let service: CertificateService

  init() throws {
    identity = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/catalog")
    other = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart")
    let issuer = FixedIssuer(identity: other)
    service = CertificateService(issuer: issuer, tokens: issuer, now: { 1_000_000 })
  }

  private func answer(_ peer: Peer, _ authorization: String?) async -> String {
    do {
      let answer = try await service.answer(CertificateRequestMessage(), peer: peer, authorization: authorization)
      return answer.chain.joined()
    } catch {
      return "\(error.code)"
    }
  }

  @Test func aValidCertificateComesBeforeAToken() async {
    #expect(await answer(.workload(identity, notAfter: 2_000_000), "Bearer good") == identity.uri)
    #expect(await answer(.anonymous, "bearer good") == other.uri)
    #expect(await answer(.rejected("unknown"), "Bearer good") == other.uri)
  }

  @Test func anEndedCertificateStillRenewsForADay() async {
    #expect(await answer(.expired(identity, notAfter: 1_000_000 - 86_400), nil) == identity.uri)
    #expect(await answer(.expired(identity, notAfter: 1_000_000 - 86_401), nil) == "unauthenticated")
    #expect(await answer(.expired(identity, notAfter: 999_000), "Bearer old") == identity.uri)
    #expect(await answer(.expired(identity, notAfter: 1), "Bearer old") == "unauthenticated")
    #expect(await answer(.expired(identity, notAfter: 1), "Bearer good") == other.uri)
  }

  @Test(arguments: [nil, "", "Bearer", "Basic good", "good", "Bearer old"] as [String?])
  func withoutProofThereIsNoCertificate(authorization: String?) async {
    #expect(await answer(.anonymous, authorization) == "unauthenticated")
    #expect(await answer(.rejected("It is of another mesh."), authorization) == "unauthenticated")
  }
}
