import Crypto
import Foundation
import MeshModel

/// What a join token says: who may ask for a certificate with it, and until when.
package struct JoinClaims: Sendable, Equatable {
  package let namespace: String
  package let account: String
  /// Seconds since 1970 up to which it is good, inclusive.
  package let expiresAtSeconds: Int64
  /// 128 random bits in hexadecimal, so that no two tokens are alike and logs can name one.
  package let id: String
}

/// Why a join token is refused. Bounded.
package enum JoinTokenRefusal: Error, Equatable, Sendable, CaseIterable {
  /// Longer than `JoinTokenKey.maximumBytes`.
  case tooLong
  /// Not a token of this mesh's form.
  case malformed
  /// Not made with this mesh's key.
  case badSignature
  /// Its time is over.
  case expired
  /// Namespace or account cannot be part of an identity.
  case invalidName
  /// The life asked for is not 1 second to `JoinTokenKey.longestLifeSeconds`.
  case lifeOutOfRange

  package var sentence: StaticString {
    switch self {
    case .tooLong: "The join token is longer than 1024 bytes."
    case .malformed: "The join token is not one of Apus."
    case .badSignature: "The join token was not made by this mesh."
    case .expired: "The join token has expired: ask for a new one."
    case .invalidName: "The namespace or the account cannot be part of a SPIFFE ID."
    case .lifeOutOfRange: "A join token lives 1 second to 30 days."
    }
  }
}

/// Makes and checks join tokens: HMAC-SHA256 over namespace, account, end and id, under a key that only the control
/// plane has.
///
/// The form is `apus1.<claims>.<code>`, both parts base64url without padding; the claims are four lines of text.
package struct JoinTokenKey: Sendable {
  /// Bytes that a token may have.
  package static let maximumBytes = 1024
  /// The life of a token unless told: 24 hours.
  package static let standardLifeSeconds: Int64 = 86_400
  /// The longest life of a token.
  package static let longestLifeSeconds: Int64 = 30 * 86_400

  private static let prefix = "apus1"
  private let key: SymmetricKey

  /// - Parameter secret: at least 32 random bytes.
  package init(secret: [UInt8]) { key = SymmetricKey(data: secret) }

  /// Makes a token.
  ///
  /// - Throws: `invalidName`, `lifeOutOfRange`, `tooLong`.
  package func mint(
    namespace: String, account: String, lifeSeconds: Int64 = JoinTokenKey.standardLifeSeconds, nowSeconds: Int64
  ) throws(JoinTokenRefusal) -> (token: String, claims: JoinClaims) {
    guard (try? SPIFFEID(trustDomain: .standard, namespace: namespace, account: account)) != nil else {
      throw .invalidName
    }
    guard (1...JoinTokenKey.longestLifeSeconds).contains(lifeSeconds) else { throw .lifeOutOfRange }
    let id = SecretFile.random(16).hexadecimal
    let claims = JoinClaims(
      namespace: namespace, account: account, expiresAtSeconds: nowSeconds &+ lifeSeconds, id: id)
    let text = "\(namespace)\n\(account)\n\(claims.expiresAtSeconds)\n\(id)"
    let body = "\(JoinTokenKey.prefix).\(Data(text.utf8).base64URL)"
    let code = HMAC<SHA256>.authenticationCode(for: Data(body.utf8), using: key)
    let token = "\(body).\(Data(code).base64URL)"
    guard token.utf8.count <= JoinTokenKey.maximumBytes else { throw .tooLong }
    return (token, claims)
  }

  /// Checks a token; the code is compared in constant time, and before anything of the claims is read.
  package func verify(_ token: String, nowSeconds: Int64) throws(JoinTokenRefusal) -> JoinClaims {
    guard token.utf8.count <= JoinTokenKey.maximumBytes else { throw .tooLong }
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == JoinTokenKey.prefix, let claims = Data(base64URL: parts[1]),
      let code = Data(base64URL: parts[2])
    else { throw .malformed }
    let body = Data("\(parts[0]).\(parts[1])".utf8)
    guard HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: body, using: key) else { throw .badSignature }
    let lines = String(decoding: claims, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 4, let end = Int64(lines[2]) else { throw .malformed }
    guard nowSeconds <= end else { throw .expired }
    return JoinClaims(
      namespace: String(lines[0]), account: String(lines[1]), expiresAtSeconds: end, id: String(lines[3]))
  }
}

extension Foundation.Data {
  /// RFC 4648, section 5, without padding.
  fileprivate var base64URL: String {
    base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
      .replacingOccurrences(of: "=", with: "")
  }

  /// nil also for a text that is not the one way of writing its bytes.
  fileprivate init?(base64URL text: Substring) {
    let standard = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    let padding = String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
    guard let bytes = Data(base64Encoded: standard + padding), bytes.base64URL == text else { return nil }
    self = bytes
  }
}
