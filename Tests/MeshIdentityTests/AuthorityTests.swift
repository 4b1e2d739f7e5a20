import Foundation
import MeshIdentity
import MeshModel
import Testing

@Suite("Certificate authority")
struct AuthorityTests {
  static let now = Int64(Date().timeIntervalSince1970)
  static let cart = "spiffe://cluster.local/ns/shop/sa/cart"

  @Test("the first start makes the files, with modes that keep the keys secret, and the second reads them")
  func firstStart() throws {
    let folder = try TemporaryFolder()
    let first = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("ca")).sorted()
    #expect(
      names == ["intermediate-cert.pem", "intermediate-key.pem", "root-cert.pem", "root-key.pem", "token-key"])
    for name in names where name.contains("key") { #expect(try folder.mode("ca/\(name)") == 0o600) }
    #expect(try folder.mode("ca") == 0o700)
    let second = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    #expect(first.bundlePEM == second.bundlePEM)
    #expect(first.intermediatePEM == second.intermediatePEM)
    #expect(first.rootNotAfterSeconds == AuthorityTests.now + 3650 * 86_400)
    #expect(first.intermediateNotAfterSeconds == AuthorityTests.now + 365 * 86_400)
  }

  @Test("a start that was cut short leaves nothing that stops the next one")
  func cutShort() throws {
    let folder = try TemporaryFolder()
    try folder.write("ca.new/root-key.pem", "half")
    _ = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    #expect(!FileManager.default.fileExists(atPath: folder.path("ca.new")))
  }

  @Test(
    "a missing file is reported and never made anew",
    arguments: ["intermediate-cert.pem", "intermediate-key.pem", "root-cert.pem", "root-key.pem", "token-key"])
  func missing(name: String) throws {
    let folder = try TemporaryFolder()
    _ = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    try FileManager.default.removeItem(atPath: folder.path("ca/\(name)"))
    let expected = AuthorityError.incomplete(missing: folder.path("ca/\(name)"), folder: folder.path("ca"))
    #expect(throws: expected) {
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path("ca/\(name)")))
    #expect(expected.description.contains("backup"))
  }

  @Test(
    "a damaged file is reported with its name",
    arguments: ["intermediate-cert.pem", "intermediate-key.pem", "root-cert.pem", "root-key.pem", "token-key"])
  func damaged(name: String) throws {
    let folder = try TemporaryFolder()
    _ = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    try folder.write("ca/\(name)", "junk")
    let error = #expect(throws: AuthorityError.self) {
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
    guard case .unreadable(let path, _) = error else {
      Issue.record("unexpected: \(String(describing: error))")
      return
    }
    #expect(path == folder.path("ca/\(name)"))
    #expect(try folder.read("ca/\(name)") == "junk")
  }

  @Test("a key that others may read is refused, and the error says how to mend it")
  func modes() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("ca/root-key.pem")
    _ = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
    let error = #expect(throws: AuthorityError.self) {
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
    #expect(error == .file(.modeTooOpen(path: path, mode: 0o640)))
    #expect(error?.description.contains("chmod 600 \(path)") == true)
  }

  @Test("files of two authorities mixed are told apart")
  func mixed() throws {
    let folder = try TemporaryFolder()
    for name in ["ca", "other"] {
      _ = try CertificateAuthority.open(
        folder: folder.path(name), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
    try folder.write("ca/intermediate-key.pem", folder.read("other/intermediate-key.pem"))
    #expect(
      throws: AuthorityError.keyMismatch(
        key: folder.path("ca/intermediate-key.pem"), certificate: folder.path("ca/intermediate-cert.pem"))
    ) {
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
    try folder.write("ca/intermediate-cert.pem", folder.read("other/intermediate-cert.pem"))
    #expect(throws: AuthorityError.notSignedByRoot(path: folder.path("ca/intermediate-cert.pem"))) {
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    }
  }

  @Test("another trust domain, and a clock outside the root's validity, are refused")
  func otherWorlds() throws {
    let folder = try TemporaryFolder()
    _ = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now)
    let other = try TrustDomain("other.example")
    #expect(
      throws: AuthorityError.otherTrustDomain(
        path: folder.path("ca/root-cert.pem"), found: "spiffe://cluster.local", expected: other)
    ) {
      try CertificateAuthority.open(folder: folder.path("ca"), trustDomain: other, nowSeconds: AuthorityTests.now)
    }
    for now in [AuthorityTests.now - 86_400, AuthorityTests.now + 3651 * 86_400] {
      let error = #expect(throws: AuthorityError.self) {
        try CertificateAuthority.open(folder: folder.path("ca"), trustDomain: .standard, nowSeconds: now)
      }
      #expect(error?.description.contains("clock") == true)
    }
  }

  @Test("the intermediate's certificate is renewed with its key when half of its life is over")
  func intermediateRenewal() throws {
    let folder = try TemporaryFolder()
    func open(_ now: Int64) throws -> CertificateAuthority {
      try CertificateAuthority.open(folder: folder.path("ca"), trustDomain: .standard, nowSeconds: now)
    }
    let first = try open(AuthorityTests.now)
    #expect(try open(AuthorityTests.now + 182 * 86_400).intermediatePEM == first.intermediatePEM)
    let key = try folder.read("ca/intermediate-key.pem")
    let later = AuthorityTests.now + 400 * 86_400
    let renewed = try open(later)
    #expect(renewed.intermediatePEM != first.intermediatePEM)
    #expect(renewed.intermediateNotAfterSeconds == later + 365 * 86_400)
    #expect(try folder.read("ca/intermediate-key.pem") == key)
    #expect(try open(later).intermediatePEM == renewed.intermediatePEM)
    #expect(renewed.bundlePEM == first.bundlePEM)
  }

  @Test("a running authority renews its intermediate in place, and goes on as it was where it cannot")
  func livingAuthority() throws {
    let folder = try TemporaryFolder()
    let day: Int64 = 86_400
    let living = LivingAuthority(
      try CertificateAuthority.open(
        folder: folder.path("ca"), trustDomain: .standard, nowSeconds: AuthorityTests.now), folder: folder.path("ca"))
    let first = living.current
    #expect(try !living.renewIfDue(nowSeconds: AuthorityTests.now + 182 * day))
    #expect(living.current.intermediatePEM == first.intermediatePEM)

    let key = try folder.read("ca/root-key.pem")
    try folder.write("ca/root-key.pem", "junk")
    #expect(throws: AuthorityError.self) { try living.renewIfDue(nowSeconds: AuthorityTests.now + 183 * day) }
    #expect(living.current.intermediatePEM == first.intermediatePEM)
    try folder.write("ca/root-key.pem", key)

    #expect(try living.renewIfDue(nowSeconds: AuthorityTests.now + 183 * day))
    #expect(living.current.intermediateNotAfterSeconds == AuthorityTests.now + (183 + 365) * day)
    #expect(living.current.bundlePEM == first.bundlePEM)
    #expect(try folder.read("ca/intermediate-cert.pem") == living.current.intermediatePEM)
    #expect(try !living.renewIfDue(nowSeconds: AuthorityTests.now + 184 * day))
    // Near the root's own end there is nothing longer to be had.
    #expect(try living.renewIfDue(nowSeconds: AuthorityTests.now + 3_400 * day))
    #expect(living.current.intermediateNotAfterSeconds == first.rootNotAfterSeconds)
    #expect(try !living.renewIfDue(nowSeconds: AuthorityTests.now + 3_600 * day))
  }
}
