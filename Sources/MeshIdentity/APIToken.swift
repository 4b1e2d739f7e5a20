import Crypto
import Foundation

/// The secret with which the command line speaks to the control plane: `<data>/api-token`, mode 0600.
package struct APIToken: Sendable {
  /// What stands in the file: 64 hexadecimal digits when we made it, at most 256 printable characters otherwise.
  package let text: String

  /// Reads the token, and makes one if there is no file.
  ///
  /// - Throws: the system's refusal, or a file that is open to others, empty or not a token.
  package static func open(path: String) throws(SecretFileError) -> APIToken {
    do throws(SecretFileError) {
      return try read(path: path)
    } catch {
      guard case .missing = error else { throw error }
    }
    let secret = SecretFile.random(32)
    let text = secret.hexadecimal
    try SecretFile.replace(path, Array("\(text)\n".utf8))
    return APIToken(text: text)
  }

  /// Reads the token; for the command line, which never makes one.
  package static func read(path: String) throws(SecretFileError) -> APIToken {
    let bytes = try SecretFile.read(path, secret: true)
    let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard (16...256).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      throw .notAToken(path: path)
    }
    return APIToken(text: text)
  }

  /// Whether somebody presents this token; takes the same time wherever the two differ.
  package func matches(_ presented: String) -> Bool {
    let key = SymmetricKey(data: Data(text.utf8))
    let ours = HMAC<SHA256>.authenticationCode(for: Data("apus".utf8), using: key)
    let theirs = SymmetricKey(data: Data(presented.utf8))
    return HMAC<SHA256>.isValidAuthenticationCode(Data(ours), authenticating: Data("apus".utf8), using: theirs)
  }
}
