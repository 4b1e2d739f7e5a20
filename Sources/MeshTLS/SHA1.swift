// Unsafe by design: the library's function over plain memory.
import CNIOBoringSSL

/// SHA-1, for the one place that a standard still asks for it: the answer to a WebSocket's handshake (RFC 6455, section
/// 4.2.2). It protects nothing there.
package enum SHA1Digest {
  /// Bytes of a digest.
  package static let size = 20

  /// Writes the digest of `count` bytes to `output`, which has room for `size`.
  package static func write(_ bytes: UnsafePointer<UInt8>, _ count: Int, into output: UnsafeMutablePointer<UInt8>) {
    _ = SHA1(bytes, count, output)
  }
}
