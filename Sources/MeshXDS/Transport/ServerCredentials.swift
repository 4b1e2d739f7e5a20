import Foundation
import NIOSSL
import SwiftASN1
import Synchronization
import X509

/// The certificate that the control plane shows, and the check of those that it is shown. Both can be replaced while
/// connections are open; each new handshake takes what is there then.
package final class ServerCredentials: Sendable {
  private struct State {
    var context: NIOSSLContext
    var verifier: PeerVerifier
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - chainPEM: leaf first, without the root.
  ///   - keyPEM: the leaf's private key, PKCS#8 or SEC1.
  ///   - verifier: what client certificates are checked by.
  /// - Throws: if the certificate or the key cannot be read.
  package init(chainPEM: [String], keyPEM: String, verifier: PeerVerifier) throws {
    state = Mutex(State(context: try Self.makeContext(chainPEM: chainPEM, keyPEM: keyPEM), verifier: verifier))
  }

  /// Replaces certificate and key; open connections keep theirs.
  package func replace(chainPEM: [String], keyPEM: String) throws {
    let context = try Self.makeContext(chainPEM: chainPEM, keyPEM: keyPEM)
    state.withLock { $0.context = context }
  }

  /// Replaces the roots by which clients are checked.
  package func replace(verifier: PeerVerifier) { state.withLock { $0.verifier = verifier } }

  var context: NIOSSLContext { state.withLock { $0.context } }

  /// What the certificates of a handshake prove. The handshake itself refuses nobody: each call says what it needs, so
  /// that the refusal can say how to mend it, and so that an expired certificate can be renewed.
  func peer(of certificates: [NIOSSLCertificate], now: Date) async -> Peer {
    var chain: [Certificate] = []
    for certificate in certificates.prefix(8) {
      guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
        return .rejected("The certificate cannot be read.")
      }
      chain.append(parsed)
    }
    return await state.withLock { $0.verifier }.verify(chain, now: now)
  }

  private static func makeContext(chainPEM: [String], keyPEM: String) throws -> NIOSSLContext {
    let chain = try chainPEM.flatMap { try NIOSSLCertificate.fromPEMBytes(Array($0.utf8)) }
    let key = try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem)
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv13
    configuration.certificateVerification = .optionalVerification
    // The chain is checked by the verifier; the library is given none, so that it trusts nothing by itself.
    configuration.trustRoots = .certificates([])
    configuration.applicationProtocols = ["h2"]
    return try NIOSSLContext(configuration: configuration)
  }
}
