import CNIOBoringSSL

/// The records of an open TLS 1.3 connection (RFC 8446, section 5), encrypted and decrypted straight between the
/// caller's memory and the caller's memory.
///
/// The library shakes hands, and its ciphers do the work here too; what is ours is the framing. Its own record layer
/// allocates and copies twice for every record, and keeps 4 KB for a connection that does nothing.
struct RecordLayer {
  /// Bytes of content that a record may have.
  static let longestContent = 16_384
  /// Bytes of a body that a record may have.
  static let longestBody = longestContent + 256
  /// Bytes that sealing adds to a record.
  static let overhead = 5 + 1 + TrafficKey.tagCount
  /// Empty records, and key updates, that a peer may send without sending data.
  static let patience: UInt8 = 32
  /// Records after which we change our key: AES-GCM is safe for 2^24.5 full ones (RFC 8446, section 5.5).
  static let recordsPerKey: UInt64 = 1 << 23
  /// Bytes that a handshake message after the handshake may have.
  static let longestMessage = 1 << 16

  enum ContentType {
    static let alert: UInt8 = 21
    static let handshake: UInt8 = 22
    static let data: UInt8 = 23
  }

  var suite: TrafficKey.Suite
  var reading = TrafficKey()
  var writing = TrafficKey()
  /// The beginning of a record whose end has not come.
  var partial = TLSOutput()
  /// Plaintext for which there was no room.
  var spilled = TLSOutput()
  /// The beginning of a handshake message whose end has not come.
  var message = TLSOutput()
  /// Whether `partial` keeps its memory while it is empty.
  var keepsMemory = false
  var emptyRecords: UInt8 = 0
  var keyUpdates: UInt8 = 0

  private init(suite: TrafficKey.Suite) { self.suite = suite }

  /// Takes over from the library after a handshake; nil if this connection is to stay with it (TLS 1.2, no memory).
  static func takeOver(
    _ ssl: OpaquePointer, secrets: UnsafeMutablePointer<TrafficSecrets>, isServer: Bool
  ) -> UnsafeMutablePointer<RecordLayer>? {
    guard SSL_version(ssl) == TLS1_3_VERSION, let cipher = SSL_get_current_cipher(ssl),
      let suite = TrafficKey.Suite(cipher: cipher)
    else { return nil }
    let layer = UnsafeMutablePointer<RecordLayer>.allocate(capacity: 1)
    layer.initialize(to: RecordLayer(suite: suite))
    let reading = layer.key(\.reading)
    let writing = layer.key(\.writing)
    guard
      secrets.pointee.install(
        reading: reading, writing: writing, suite: suite, isServer: isServer,
        readSequence: SSL_get_read_sequence(ssl), writeSequence: SSL_get_write_sequence(ssl))
    else {
      destroy(layer)
      return nil
    }
    return layer
  }

  static func destroy(_ layer: UnsafeMutablePointer<RecordLayer>) {
    TrafficKey.destroy(layer.key(\.reading))
    TrafficKey.destroy(layer.key(\.writing))
    layer.pointee.partial.deallocate()
    layer.pointee.spilled.deallocate()
    layer.pointee.message.deallocate()
    layer.deinitialize(count: 1)
    layer.deallocate()
  }

  /// Appends records with all of the content; false when there is no memory or the library refuses.
  static func seal(
    _ layer: UnsafeMutablePointer<RecordLayer>, type: UInt8, _ content: UnsafePointer<UInt8>, _ count: Int,
    _ output: UnsafeMutablePointer<TLSOutput>
  ) -> Bool {
    let key = layer.key(\.writing)
    var done = 0
    while done < count {
      if key.pointee.sequence >= recordsPerKey, type == ContentType.data {
        guard updateWriting(layer, requestingPeer: false, output) else { return false }
      }
      let piece = min(count - done, longestContent)
      guard let out = output.pointee.reserve(piece + overhead),
        TrafficKey.seal(key, type: type, content + done, piece, out)
      else { return false }
      output.pointee.advance(piece + overhead)
      done += piece
    }
    return true
  }

  /// Says to the peer that our next record has the next key, and takes that key (section 4.6.3).
  static func updateWriting(
    _ layer: UnsafeMutablePointer<RecordLayer>, requestingPeer: Bool, _ output: UnsafeMutablePointer<TLSOutput>
  ) -> Bool {
    let message: (UInt8, UInt8, UInt8, UInt8, UInt8) = (24, 0, 0, 1, requestingPeer ? 1 : 0)
    let sent = withUnsafeBytes(of: message) { bytes -> Bool in
      guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
      return seal(layer, type: ContentType.handshake, start, bytes.count, output)
    }
    return sent && TrafficKey.update(layer.key(\.writing), suite: layer.pointee.suite)
  }

  /// Appends an alert; `fatal` for every one but close_notify.
  static func alert(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ code: UInt8, _ output: UnsafeMutablePointer<TLSOutput>
  ) {
    let alert: (UInt8, UInt8) = (code == TLSAlert.closeNotify ? 1 : 2, code)
    withUnsafeBytes(of: alert) { bytes in
      guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      _ = seal(layer, type: ContentType.alert, start, bytes.count, output)
    }
  }
}

extension UnsafeMutablePointer<RecordLayer> {
  /// Where a direction's keys lie.
  @inline(__always)
  func key(_ path: WritableKeyPath<RecordLayer, TrafficKey>) -> UnsafeMutablePointer<TrafficKey> {
    guard let key = pointer(to: path) else { preconditionFailure("the keys are stored in the layer") }
    return key
  }
}
