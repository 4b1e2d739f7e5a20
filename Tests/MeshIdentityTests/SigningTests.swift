import Foundation
import MeshIdentity
import MeshModel
import Testing

/// Requests come from openssl, and openssl judges what is signed.
@Suite("Signing of certificates")
struct SigningTests {
  static let now = Int64(Date().timeIntervalSince1970)
  let folder: TemporaryFolder
  let authority: CertificateAuthority
  let cart: SPIFFEID

  init() throws {
    folder = try TemporaryFolder()
    authority = try CertificateAuthority.open(
      folder: folder.path("ca"), trustDomain: .standard, nowSeconds: SigningTests.now)
    cart = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart")
  }

  /// A request in PEM for these names.
  private func request(_ names: String?, algorithm: [String] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]) throws
    -> [UInt8]
  {
    try folder.write(
      "req.cnf",
      "[req]\ndistinguished_name=dn\nprompt=no\n\(names == nil ? "" : "req_extensions=ext\n")[dn]\nCN=x\n"
        + (names.map { "[ext]\nsubjectAltName=\($0)\n" } ?? ""))
    var arguments = ["req", "-new", "-nodes", "-config", "req.cnf", "-keyout", "key.pem", "-out", "req.pem", "-newkey"]
    arguments += algorithm
    try run(arguments)
    return Array(try folder.read("req.pem").utf8)
  }

  private func run(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path(""))
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  @Test("openssl accepts the chain for a server and for a client, and it says what an X.509-SVID must")
  func chain() throws {
    let signed = try authority.sign(
      request: request("URI:spiffe://cluster.local/ns/shop/sa/cart"), identity: cart, nowSeconds: SigningTests.now)
    try folder.write("root.pem", authority.bundlePEM)
    try folder.write("intermediate.pem", authority.intermediatePEM)
    try folder.write("leaf.pem", signed.leafPEM)
    for purpose in ["sslserver", "sslclient"] {
      let answer = try folder.openssl(
        "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem", "-untrusted", "intermediate.pem",
        "leaf.pem")
      #expect(answer.contains("leaf.pem: OK"))
    }
    let text = try folder.openssl("x509", "-in", "leaf.pem", "-noout", "-text")
    #expect(text.contains("URI:spiffe://cluster.local/ns/shop/sa/cart"))
    #expect(text.contains("CA:FALSE"))
    #expect(text.contains("Digital Signature"))
    #expect(!text.contains("Certificate Sign"))
    #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
    #expect(text.contains("ecdsa-with-SHA256"))
    #expect(text.contains("Subject: \n"))
    #expect(signed.chainPEM == signed.leafPEM + authority.intermediatePEM)
    #expect(signed.notAfterSeconds == SigningTests.now + 86_400)
    #expect(signed.notBeforeSeconds == SigningTests.now - 60)
    #expect(signed.serial.count >= 16)
  }

  @Test("a life of ten seconds is ten seconds")
  func shortLife() throws {
    let request = try request("URI:spiffe://cluster.local/ns/shop/sa/cart")
    let signed = try authority.sign(
      request: request, identity: cart, lifeSeconds: 10, nowSeconds: SigningTests.now)
    #expect(signed.notAfterSeconds == SigningTests.now + 10)
    let again = try authority.sign(
      request: request, identity: cart, lifeSeconds: 10, nowSeconds: SigningTests.now)
    #expect(again.serial != signed.serial)
    for life in [0, -1, CertificateAuthority.longestLifeSeconds + 1] as [Int64] {
      #expect(throws: SigningRefusal.lifeOutOfRange) {
        try authority.sign(request: request, identity: cart, lifeSeconds: life, nowSeconds: SigningTests.now)
      }
    }
  }

  @Test("a certificate never outlives the intermediate, and after its end there is none")
  func intermediateEnds() throws {
    let request = try request("URI:spiffe://cluster.local/ns/shop/sa/cart")
    let end = authority.intermediateNotAfterSeconds
    let signed = try authority.sign(request: request, identity: cart, nowSeconds: end - 100)
    #expect(signed.notAfterSeconds == end)
    #expect(throws: SigningRefusal.authorityExpired) {
      try authority.sign(request: request, identity: cart, nowSeconds: end)
    }
  }

  @Test(
    "a request for other names than the identity proved is refused",
    arguments: [
      (nil, SigningRefusal.noIdentity),
      ("DNS:cart.shop", .noIdentity),
      ("URI:spiffe://cluster.local/ns/shop/sa/payments", .identityMismatch),
      ("URI:spiffe://other.example/ns/shop/sa/cart", .identityMismatch),
      ("URI:spiffe://cluster.local/ns/shop/sa/cart,URI:spiffe://cluster.local/ns/shop/sa/cart", .otherNames),
      ("URI:spiffe://cluster.local/ns/shop/sa/cart,DNS:payments.shop", .otherNames),
      ("DNS:payments.shop,URI:spiffe://cluster.local/ns/shop/sa/cart", .otherNames),
    ] as [(String?, SigningRefusal)])
  func names(names: String?, refusal: SigningRefusal) throws {
    let request = try request(names)
    #expect(throws: refusal) {
      try authority.sign(request: request, identity: cart, nowSeconds: SigningTests.now)
    }
  }

  @Test("an identity of another trust domain is refused even when it is proved")
  func foreign() throws {
    let request = try request("URI:spiffe://other.example/ns/shop/sa/cart")
    #expect(throws: SigningRefusal.foreignTrustDomain) {
      try authority.sign(
        request: request, identity: SPIFFEID("spiffe://other.example/ns/shop/sa/cart"),
        nowSeconds: SigningTests.now)
    }
  }

  @Test("RSA and Ed25519 keys are refused, P-384 is accepted")
  func keys() throws {
    let name = "URI:spiffe://cluster.local/ns/shop/sa/cart"
    for algorithm in [["rsa:2048"], ["ed25519"]] {
      let request = try request(name, algorithm: algorithm)
      #expect(throws: SigningRefusal.keyNotAccepted) {
        try authority.sign(request: request, identity: cart, nowSeconds: SigningTests.now)
      }
    }
    let strong = try request(name, algorithm: ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"])
    #expect(throws: Never.self) {
      try authority.sign(request: strong, identity: cart, nowSeconds: SigningTests.now)
    }
  }

  @Test("junk, a changed request and one that is too large are refused")
  func junk() throws {
    let request = try request("URI:spiffe://cluster.local/ns/shop/sa/cart")
    let cases: [([UInt8], SigningRefusal)] = [
      ([], .unreadable), ([0x30, 0x80], .unreadable), (Array("hello".utf8), .unreadable),
      (Array(authority.bundlePEM.utf8), .unreadable),
      ([UInt8](repeating: 0x30, count: 16 * 1024 + 1), .tooLarge),
    ]
    for (bytes, refusal) in cases {
      #expect(throws: refusal) {
        try authority.sign(request: bytes, identity: cart, nowSeconds: SigningTests.now)
      }
    }
    // One bit of the signed name changed: DER, so that nothing but the signature notices.
    try folder.openssl("req", "-in", "req.pem", "-outform", "DER", "-out", "req.der")
    var der = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.path("req.der"))))
    #expect(throws: Never.self) { try authority.sign(request: der, identity: cart, nowSeconds: SigningTests.now) }
    let at = try #require(der.firstRange(of: Array("/sa/cart".utf8)))
    der[at.upperBound - 1] ^= 1
    #expect(throws: SigningRefusal.badSignature) {
      try authority.sign(
        request: der, identity: SPIFFEID("spiffe://cluster.local/ns/shop/sa/caru"), nowSeconds: SigningTests.now)
    }
    #expect(!request.isEmpty)
  }

  @Test("the control plane's own certificate has its host names beside the SPIFFE ID")
  func own() throws {
    let identity = try SPIFFEID("spiffe://cluster.local/ns/apus-system/sa/control-plane")
    let own = try authority.issueOwn(
      identity: identity, dnsNames: ["localhost"], nowSeconds: SigningTests.now)
    try folder.write("root.pem", authority.bundlePEM)
    try folder.write("chain.pem", own.certificate.chainPEM)
    try folder.write("own.pem", own.privateKeyPEM)
    let answer = try folder.openssl(
      "verify", "-verify_hostname", "localhost", "-CAfile", "root.pem", "-untrusted", "chain.pem", "chain.pem")
    #expect(answer.contains("OK"))
    let certificateKey = try folder.openssl("x509", "-in", "chain.pem", "-noout", "-pubkey")
    #expect(try folder.openssl("pkey", "-in", "own.pem", "-pubout") == certificateKey)
  }

  @Test("every refusal has a sentence")
  func sentences() {
    for refusal in SigningRefusal.allCases { #expect(refusal.sentence.description.hasSuffix(".")) }
    for refusal in JoinTokenRefusal.allCases { #expect(refusal.sentence.description.hasSuffix(".")) }
  }
}
