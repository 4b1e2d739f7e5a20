import Foundation
import MeshIdentity
import Testing

@Suite("Join tokens and the API token")
struct TokenTests {
  let key = JoinTokenKey(secret: [UInt8](repeating: 7, count: 32))

  @Test("a token says who may join and until when")
  func roundTrip() throws {
    let minted = try key.mint(namespace: "shop", account: "cart", nowSeconds: 1000)
    #expect(minted.token.hasPrefix("apus1."))
    let claims = try key.verify(minted.token, nowSeconds: 1000 + 86_400)
    #expect(claims == minted.claims)
    #expect(claims.namespace == "shop")
    #expect(claims.account == "cart")
    #expect(claims.expiresAtSeconds == 1000 + 86_400)
    #expect(try key.mint(namespace: "shop", account: "cart", nowSeconds: 1000).token != minted.token)
  }

  @Test("a token ends when it says")
  func expiry() throws {
    let token = try key.mint(namespace: "shop", account: "cart", lifeSeconds: 10, nowSeconds: 1000).token
    #expect(try key.verify(token, nowSeconds: 1010).account == "cart")
    #expect(throws: JoinTokenRefusal.expired) { try key.verify(token, nowSeconds: 1011) }
    for life in [0, -5, JoinTokenKey.longestLifeSeconds + 1] as [Int64] {
      #expect(throws: JoinTokenRefusal.lifeOutOfRange) {
        try key.mint(namespace: "shop", account: "cart", lifeSeconds: life, nowSeconds: 1000)
      }
    }
  }

  @Test("no character of a token can be changed, and another key's token is refused")
  func forgery() throws {
    let token = try key.mint(namespace: "shop", account: "cart", nowSeconds: 1000).token
    let bytes = Array(token.utf8)
    for index in bytes.indices {
      var changed = bytes
      changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      #expect(throws: JoinTokenRefusal.self, "character \(index)") {
        try key.verify(String(decoding: changed, as: UTF8.self), nowSeconds: 1000)
      }
    }
    let other = JoinTokenKey(secret: [UInt8](repeating: 8, count: 32))
    #expect(throws: JoinTokenRefusal.badSignature) { try other.verify(token, nowSeconds: 1000) }
  }

  @Test("junk and tokens that are too long are refused")
  func junk() {
    for text in [
      "", ".", "..", "apus1..", "apus1.a.b", "apus2.YQ.YQ", "apus1.YQ.YQ.YQ", "apus1.Y Q.YQ", "apus1.YQ==.YQ",
    ] {
      #expect(throws: JoinTokenRefusal.self, "\(text)") { try key.verify(text, nowSeconds: 0) }
    }
    #expect(throws: JoinTokenRefusal.malformed) { try key.verify("hello", nowSeconds: 0) }
    #expect(throws: JoinTokenRefusal.tooLong) { try key.verify(String(repeating: "a", count: 1025), nowSeconds: 0) }
  }

  @Test("names that cannot be in an identity make no token")
  func names() {
    for (namespace, account) in [("", "a"), ("a", ""), ("a/b", "c"), ("a\nb", "c"), ("a", "..")] {
      #expect(throws: JoinTokenRefusal.invalidName) {
        try key.mint(namespace: namespace, account: account, nowSeconds: 0)
      }
    }
    #expect(throws: JoinTokenRefusal.tooLong) {
      try key.mint(namespace: String(repeating: "n", count: 900), account: "a", nowSeconds: 0)
    }
  }

  @Test("the API token is made once, secret, and read again")
  func apiToken() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("api-token")
    #expect(throws: SecretFileError.missing(path: path)) { try APIToken.read(path: path) }
    let made = try APIToken.open(path: path)
    #expect(made.text.utf8.count == 64)
    #expect(try folder.mode("api-token") == 0o600)
    #expect(try APIToken.open(path: path).text == made.text)
    #expect(made.matches(made.text))
    #expect(!made.matches(""))
    #expect(!made.matches(made.text + "0"))
    #expect(!made.matches(String(made.text.dropLast())))
  }

  @Test("an API token that others may read, or that is none, is refused")
  func badAPIToken() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("api-token")
    _ = try APIToken.open(path: path)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
    #expect(throws: SecretFileError.modeTooOpen(path: path, mode: 0o644)) { try APIToken.open(path: path) }
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    try folder.write("api-token", "short\n")
    #expect(throws: SecretFileError.notAToken(path: path)) { try APIToken.open(path: path) }
    #expect(try folder.read("api-token") == "short\n")
  }
}
