import MeshModel
import Testing

@Suite("SPIFFE IDs")
struct SPIFFEIDTests {
  @Test("an identity of the mesh is taken apart and put together again")
  func roundTrip() throws {
    let id = try SPIFFEID("spiffe://cluster.local/ns/shop/sa/cart")
    #expect(id.trustDomain.name == "cluster.local")
    #expect(id.namespace == "shop")
    #expect(id.account == "cart")
    #expect(id.uri == "spiffe://cluster.local/ns/shop/sa/cart")
    #expect(try SPIFFEID(trustDomain: .standard, namespace: "shop", account: "cart") == id)
  }

  @Test("another issuer's path is an identity without namespace and account")
  func foreignPath() throws {
    let id = try SPIFFEID("spiffe://prod.example_1/Billing/Payments.v2")
    #expect(id.path == "/Billing/Payments.v2")
    #expect(id.namespace == nil)
    #expect(id.account == nil)
    #expect(try SPIFFEID("spiffe://a/ns/x/sa/y/z").namespace == nil)
  }

  @Test(
    "each rule of the standard refuses with its own error",
    arguments: [
      ("spiffe://cluster.local", SPIFFEIDError.noPath),
      ("spiffe://cluster.local/", .noPath),
      ("spiffe:///ns/a", .emptyTrustDomain),
      ("spiffe://", .emptyTrustDomain),
      ("", .scheme),
      ("http://cluster.local/ns/a", .scheme),
      ("SPIFFE://cluster.local/ns/a", .scheme),
      ("spiffe:/cluster.local/ns/a", .scheme),
      ("spiffe://Cluster.local/ns/a", .trustDomainCharacter),
      ("spiffe://user@cluster.local/ns/a", .trustDomainCharacter),
      ("spiffe://cluster.local:443/ns/a", .trustDomainCharacter),
      ("spiffe://cluster%2elocal/ns/a", .percentEncoding),
      ("spiffe://cluster.local/ns//sa/b", .emptySegment),
      ("spiffe://cluster.local//", .emptySegment),
      ("spiffe://cluster.local/ns/a/", .emptySegment),
      ("spiffe://cluster.local/ns/../sa/b", .dotSegment),
      ("spiffe://cluster.local/./a", .dotSegment),
      ("spiffe://cluster.local/ns/a%2e", .percentEncoding),
      ("spiffe://cluster.local/ns/a?x=1", .pathCharacter),
      ("spiffe://cluster.local/ns/a#x", .pathCharacter),
      ("spiffe://cluster.local/ns/ä", .pathCharacter),
      ("spiffe://cluster.local/ns/a b", .pathCharacter),
    ])
  func refusals(text: String, error: SPIFFEIDError) {
    #expect(throws: error) { try SPIFFEID(text) }
  }

  @Test("the limits are 2048 bytes for the ID and 255 for the trust domain, and not one less")
  func limits() throws {
    let prefix = "spiffe://cluster.local/"
    let longest = prefix + String(repeating: "a", count: 2048 - prefix.utf8.count)
    #expect(try SPIFFEID(longest).uri == longest)
    #expect(throws: SPIFFEIDError.tooLong) { try SPIFFEID(longest + "a") }
    let domain = String(repeating: "d", count: 255)
    #expect(try SPIFFEID("spiffe://\(domain)/a").trustDomain.name == domain)
    #expect(throws: SPIFFEIDError.trustDomainTooLong) { try SPIFFEID("spiffe://\(domain)d/a") }
    #expect(throws: SPIFFEIDError.trustDomainTooLong) { try TrustDomain(domain + "d") }
  }

  @Test("bytes that are not UTF-8 and a NUL inside the text are refused")
  func bytes() {
    #expect(throws: SPIFFEIDError.pathCharacter) { try SPIFFEID(bytes: Array("spiffe://a/b".utf8) + [0xff, 0xfe]) }
    #expect(throws: SPIFFEIDError.pathCharacter) { try SPIFFEID("spiffe://a/b\0c") }
    #expect(throws: SPIFFEIDError.trustDomainCharacter) { try SPIFFEID("spiffe://a\0b/c") }
  }

  @Test("a namespace or account that is no segment makes no identity")
  func segments() {
    for (namespace, account) in [("", "a"), ("a", ""), ("a/b", "c"), ("..", "c"), ("a", "."), ("a", "b%"), ("ä", "b")] {
      #expect(throws: SPIFFEIDError.self) {
        try SPIFFEID(trustDomain: .standard, namespace: namespace, account: account)
      }
    }
  }

  @Test("every error has a sentence")
  func sentences() {
    for error in SPIFFEIDError.allCases { #expect(error.sentence.description.hasSuffix(".")) }
  }
}
