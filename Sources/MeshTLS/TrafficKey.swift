import CNIOBoringSSL

/// The keys of one direction of an open TLS 1.3 connection (RFC 8446, sections 5.2, 5.3 and 7.3). Plain memory; it
/// must stay where it is, since the library's cipher lies inside.
struct TrafficKey {
  static let nonceCount = 12
  static let tagCount = 16
  static let longestSecret = 48

  /// How the keys of a connection are made from its secrets.
  struct Suite {
    var aead: OpaquePointer
    var digest: OpaquePointer
    var keyCount: Int
    var secretCount: Int

    /// nil for a cipher that is not one of TLS 1.3.
    init?(cipher: OpaquePointer) {
      switch SSL_CIPHER_get_protocol_id(cipher) {
      case 0x1301: aead = EVP_aead_aes_128_gcm()
      case 0x1302: aead = EVP_aead_aes_256_gcm()
      case 0x1303: aead = EVP_aead_chacha20_poly1305()
      default: return nil
      }
      digest = SSL_CIPHER_get_handshake_digest(cipher)
      keyCount = EVP_AEAD_key_length(aead)
      secretCount = EVP_MD_size(digest)
    }
  }

  private var cipher = EVP_AEAD_CTX()
  private var secret: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  private var initialVector: (UInt64, UInt64) = (0, 0)
  private var nonce: (UInt64, UInt64) = (0, 0)
  /// Of the next record.
  private(set) var sequence: UInt64 = 0

  /// Takes a secret and makes the keys; false when the library refuses.
  static func install(
    _ key: UnsafeMutablePointer<TrafficKey>, secret: UnsafePointer<UInt8>, suite: Suite, sequence: UInt64
  ) -> Bool {
    withUnsafeMutableBytes(of: &key.pointee.secret) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: secret, count: min(suite.secretCount, longestSecret)))
    }
    key.pointee.sequence = sequence
    return derive(key, suite)
  }

  /// Goes on to the next generation of keys (section 7.2).
  static func update(_ key: UnsafeMutablePointer<TrafficKey>, suite: Suite) -> Bool {
    var next = (UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    let made = withUnsafeMutableBytes(of: &next) { expand(key, suite, "traffic upd", into: $0, suite.secretCount) }
    guard made else { return false }
    key.pointee.secret = next
    key.pointee.sequence = 0
    EVP_AEAD_CTX_cleanup(&key.pointee.cipher)
    return derive(key, suite)
  }

  /// Wipes the keys.
  static func destroy(_ key: UnsafeMutablePointer<TrafficKey>) {
    EVP_AEAD_CTX_cleanup(&key.pointee.cipher)
    OPENSSL_cleanse(key, MemoryLayout<TrafficKey>.size)
  }

  /// Decrypts one record whose header is `record` and whose body, `count` bytes with the tag, follows.
  ///
  /// - Parameter out: room for `count - tagCount` bytes.
  /// - Returns: the bytes of content, type and padding; negative when the record is not authentic.
  static func open(
    _ key: UnsafeMutablePointer<TrafficKey>, _ record: UnsafePointer<UInt8>, _ count: Int,
    _ out: UnsafeMutablePointer<UInt8>
  ) -> Int {
    guard key.pointee.sequence < .max, let nonce = nextNonce(key) else { return -1 }
    var written = 0
    let opened = EVP_AEAD_CTX_open(
      &key.pointee.cipher, out, &written, count - tagCount, nonce, nonceCount, record + 5, count, record, 5)
    guard opened == 1 else {
      ERR_clear_error()
      return -1
    }
    key.pointee.sequence &+= 1
    return written
  }

  /// Encrypts one record of `count` bytes into `out`, which has room for `count + 22`.
  ///
  /// - Returns: false when the library refuses; nothing must be sent then.
  static func seal(
    _ key: UnsafeMutablePointer<TrafficKey>, type: UInt8, _ content: UnsafePointer<UInt8>, _ count: Int,
    _ out: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    guard key.pointee.sequence < .max, let nonce = nextNonce(key) else { return false }
    let length = count + 1 + tagCount
    out[0] = 23
    out[1] = 3
    out[2] = 3
    out[3] = UInt8(truncatingIfNeeded: length >> 8)
    out[4] = UInt8(truncatingIfNeeded: length)
    var innerType = type
    var suffix = 0
    let sealed = EVP_AEAD_CTX_seal_scatter(
      &key.pointee.cipher, out + 5, out + 5 + count, &suffix, 1 + tagCount, nonce, nonceCount, content, count,
      &innerType, 1, out, 5)
    guard sealed == 1, suffix == 1 + tagCount else {
      ERR_clear_error()
      return false
    }
    key.pointee.sequence &+= 1
    return true
  }

  /// The initial vector with the sequence number laid over its last eight bytes.
  @inline(__always)
  private static func nextNonce(_ key: UnsafeMutablePointer<TrafficKey>) -> UnsafePointer<UInt8>? {
    guard let offset = MemoryLayout<TrafficKey>.offset(of: \.nonce),
      let source = MemoryLayout<TrafficKey>.offset(of: \.initialVector)
    else { return nil }
    let bytes = UnsafeMutableRawPointer(key)
    let vector = bytes.loadUnaligned(fromByteOffset: source + 4, as: UInt64.self)
    bytes.storeBytes(
      of: bytes.loadUnaligned(fromByteOffset: source, as: UInt32.self), toByteOffset: offset, as: UInt32.self)
    bytes.storeBytes(of: vector ^ key.pointee.sequence.bigEndian, toByteOffset: offset + 4, as: UInt64.self)
    return UnsafePointer((bytes + offset).assumingMemoryBound(to: UInt8.self))
  }

  private static func derive(_ key: UnsafeMutablePointer<TrafficKey>, _ suite: Suite) -> Bool {
    var material = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    defer { OPENSSL_cleanse(&material, MemoryLayout.size(ofValue: material)) }
    let made = withUnsafeMutableBytes(of: &material) { bytes -> Bool in
      guard expand(key, suite, "key", into: bytes, suite.keyCount), let start = bytes.baseAddress else { return false }
      return EVP_AEAD_CTX_init(
        &key.pointee.cipher, suite.aead, start.assumingMemoryBound(to: UInt8.self), suite.keyCount, tagCount, nil) == 1
    }
    guard made else {
      ERR_clear_error()
      return false
    }
    var vector = (UInt64(0), UInt64(0))
    guard withUnsafeMutableBytes(of: &vector, { expand(key, suite, "iv", into: $0, nonceCount) }) else { return false }
    key.pointee.initialVector = vector
    return true
  }

  /// HKDF-Expand-Label with an empty context (section 7.1).
  private static func expand(
    _ key: UnsafeMutablePointer<TrafficKey>, _ suite: Suite, _ label: String, into out: UnsafeMutableRawBufferPointer,
    _ count: Int
  ) -> Bool {
    let name = Array("tls13 \(label)".utf8)
    let info =
      [UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
      + [UInt8(truncatingIfNeeded: name.count)] + name + [0]
    guard count <= out.count, let start = out.baseAddress else { return false }
    return withUnsafeBytes(of: &key.pointee.secret) { secret -> Bool in
      HKDF_expand(
        start.assumingMemoryBound(to: UInt8.self), count, suite.digest,
        secret.baseAddress?.assumingMemoryBound(to: UInt8.self), suite.secretCount, info, info.count) == 1
    }
  }
}

/// The first secrets of an open connection, which the library tells while it shakes hands.
struct TrafficSecrets {
  private var client: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  private var server: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  private var clientCount = 0
  private var serverCount = 0

  /// Takes a line of the library's key log: a label, the client's random, the secret in hexadecimal (RFC 9850).
  mutating func take(_ line: UnsafePointer<CChar>) {
    let text = UnsafeRawPointer(line).assumingMemoryBound(to: UInt8.self)
    let isClient: Bool
    if TrafficSecrets.begins(text, "CLIENT_TRAFFIC_SECRET_0 ") {
      isClient = true
    } else if TrafficSecrets.begins(text, "SERVER_TRAFFIC_SECRET_0 ") {
      isClient = false
    } else {
      return
    }
    var spaces = 0
    var index = 0
    while spaces < 2, text[index] != 0 {
      if text[index] == UInt8(ascii: " ") { spaces += 1 }
      index += 1
    }
    func decode(_ out: UnsafeMutableRawBufferPointer) -> Int {
      var count = 0
      while count < out.count, let high = TrafficSecrets.digit(text[index]),
        let low = TrafficSecrets.digit(text[index + 1])
      {
        out[count] = high << 4 | low
        count += 1
        index += 2
      }
      return count
    }
    if isClient {
      clientCount = withUnsafeMutableBytes(of: &client) { decode($0) }
    } else {
      serverCount = withUnsafeMutableBytes(of: &server) { decode($0) }
    }
  }

  /// Makes the keys of both directions; false if a secret is missing or of another length.
  mutating func install(
    reading: UnsafeMutablePointer<TrafficKey>, writing: UnsafeMutablePointer<TrafficKey>, suite: TrafficKey.Suite,
    isServer: Bool, readSequence: UInt64, writeSequence: UInt64
  ) -> Bool {
    guard clientCount == suite.secretCount, serverCount == suite.secretCount else { return false }
    let clientKey = isServer ? reading : writing
    let serverKey = isServer ? writing : reading
    let clientDone = withUnsafeBytes(of: &client) { bytes -> Bool in
      guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
      return TrafficKey.install(
        clientKey, secret: start, suite: suite, sequence: isServer ? readSequence : writeSequence)
    }
    let serverDone = withUnsafeBytes(of: &server) { bytes -> Bool in
      guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
      return TrafficKey.install(
        serverKey, secret: start, suite: suite, sequence: isServer ? writeSequence : readSequence)
    }
    return clientDone && serverDone
  }

  private static func begins(_ text: UnsafePointer<UInt8>, _ prefix: StaticString) -> Bool {
    for index in 0..<prefix.utf8CodeUnitCount where text[index] != prefix.utf8Start[index] { return false }
    return true
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
