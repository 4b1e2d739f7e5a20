import CNIOBoringSSL
import Synchronization

/// The keys under which a server seals what it must remember of a session (RFC 5077, section 4; RFC 8446, 4.6.1).
///
/// In memory only, shared by all loops and by every `TLSContext` that follows another, so that a renewed certificate
/// does not cost every client a full handshake. A key seals for `rotationSeconds` and opens for as long again.
package final class TLSTicketKeys: Sendable {
  /// Seconds for which a key seals new tickets; default 6 hours.
  package let rotationSeconds: Int64

  private struct Key {
    var name: [UInt8]
    var encryption: [UInt8]
    var authentication: [UInt8]
    var madeSeconds: Int64
  }

  private struct State {
    var keys: [Key] = []
  }

  private let state = Mutex(State())

  /// - Parameter rotationSeconds: at least 1.
  package init(rotationSeconds: Int64 = 6 * 3600) {
    self.rotationSeconds = max(1, rotationSeconds)
  }

  /// Prepares the two contexts for a new ticket and writes its key's name and a fresh IV.
  fileprivate func seal(
    name: UnsafeMutablePointer<UInt8>, iv: UnsafeMutablePointer<UInt8>, cipher: UnsafeMutablePointer<EVP_CIPHER_CTX>,
    mac: UnsafeMutablePointer<HMAC_CTX>,
    nowSeconds: Int64
  ) -> Int32 {
    guard let key = state.withLock({ current(&$0, nowSeconds) }) else { return -1 }
    name.update(from: key.name, count: key.name.count)
    guard RAND_bytes(iv, Int(EVP_CIPHER_iv_length(EVP_aes_128_cbc()))) == 1 else { return -1 }
    guard EVP_EncryptInit_ex(cipher, EVP_aes_128_cbc(), nil, key.encryption, iv) == 1,
      HMAC_Init_ex(mac, key.authentication, key.authentication.count, EVP_sha256(), nil) == 1
    else { return -1 }
    return 1
  }

  /// Prepares the two contexts for a ticket that came back. 0: the key is gone, the handshake goes on without it.
  fileprivate func open(
    name: UnsafePointer<UInt8>, iv: UnsafePointer<UInt8>, cipher: UnsafeMutablePointer<EVP_CIPHER_CTX>,
    mac: UnsafeMutablePointer<HMAC_CTX>, nowSeconds: Int64
  ) -> Int32 {
    let wanted = Array(UnsafeBufferPointer(start: name, count: Int(SSL_TICKET_KEY_NAME_LEN)))
    let found = state.withLock { state -> Key? in
      state.keys.first { $0.name == wanted && nowSeconds &- $0.madeSeconds < rotationSeconds &* 2 }
    }
    guard let key = found else { return 0 }
    guard EVP_DecryptInit_ex(cipher, EVP_aes_128_cbc(), nil, key.encryption, iv) == 1,
      HMAC_Init_ex(mac, key.authentication, key.authentication.count, EVP_sha256(), nil) == 1
    else { return -1 }
    return 1
  }

  /// The key that seals now; makes one when there is none or the last is too old, and forgets those that open no more.
  private func current(_ state: inout State, _ nowSeconds: Int64) -> Key? {
    if let newest = state.keys.first, nowSeconds &- newest.madeSeconds < rotationSeconds,
      nowSeconds >= newest.madeSeconds
    {
      return newest
    }
    state.keys.removeAll { nowSeconds &- $0.madeSeconds >= rotationSeconds &* 2 }
    var random = [UInt8](repeating: 0, count: 48)
    guard RAND_bytes(&random, random.count) == 1 else { return nil }
    let key = Key(
      name: Array(random[0..<16]), encryption: Array(random[16..<32]), authentication: Array(random[32..<48]),
      madeSeconds: nowSeconds)
    state.keys.insert(key, at: 0)
    if state.keys.count > 4 { state.keys.removeLast(state.keys.count - 4) }
    return key
  }
}

/// What `SSL_CTX_set_tlsext_ticket_key_cb` calls in both directions.
func ticketKeyCallback(
  ssl: OpaquePointer?, name: UnsafeMutablePointer<UInt8>?, iv: UnsafeMutablePointer<UInt8>?,
  cipher: UnsafeMutablePointer<EVP_CIPHER_CTX>?,
  mac: UnsafeMutablePointer<HMAC_CTX>?, encrypting: Int32
) -> Int32 {
  guard let ssl, let state = sessionState(of: ssl), let name, let iv, let cipher, let mac else { return -1 }
  let now = state.pointee.nowSeconds
  guard let keys = state.pointee.context.takeUnretainedValue().settings.ticketKeys else { return 0 }
  if encrypting == 1 { return keys.seal(name: name, iv: iv, cipher: cipher, mac: mac, nowSeconds: now) }
  return keys.open(name: name, iv: iv, cipher: cipher, mac: mac, nowSeconds: now)
}

/// What a client keeps of a session with one endpoint, so that the next handshake there is short.
///
/// A plain handle: keep the newest for each endpoint, `free()` the one it replaces. It may be used for several
/// connections. It belongs to the loop that received it.
package struct TLSTicket {
  let session: OpaquePointer
  /// Under which trust it was made; a context with another one does not use it.
  let trust: UInt64

  /// Gives the memory back; the handle must not be used after that.
  package func free() { SSL_SESSION_free(session) }
}
