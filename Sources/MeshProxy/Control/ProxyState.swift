internal import MeshTLS
internal import MeshWire

/// What a proxy keeps on disk: its last configuration, and its certificate with the key, for its owner only. Damage is
/// told and the file not used.
struct ProxyState {
  static let version = "0.1.0"
  /// Name and version of this program, as the cache remembers who wrote it.
  static let program = "apus-proxy \(version)"

  private let folder: String?
  private let log: Log

  init(folder: String?, log: Log) {
    self.folder = folder
    self.log = log
  }

  private func read(_ name: String) -> [UInt8]? {
    guard let folder else { return nil }
    do throws(DiskCache.Failure) {
      return try DiskCache.read("\(folder)/\(name)")
    } catch {
      if error != .absent { log.write(.warning, "\(folder)/\(name): \(error.sentence)") }
      return nil
    }
  }

  private func write(_ bytes: [UInt8], _ name: String) {
    guard let folder else { return }
    do throws(DiskCache.Failure) {
      try DiskCache.write(bytes, to: "\(folder)/\(name)")
    } catch {
      log.write(.error, "\(folder)/\(name): \(error.sentence)")
    }
  }

  /// The configuration of an earlier run.
  func configuration() -> CachedConfiguration? {
    read("configuration").flatMap { try? CachedConfiguration(protobuf: $0) }
  }

  /// The certificate of an earlier run, and when it was received (seconds since 1970).
  func identity() -> (TLSIdentity, Int64)? {
    guard let bytes = read("identity"), let cached = try? CachedIdentity(protobuf: bytes),
      let identity = try? TLSIdentity(chain: Array(cached.chain.utf8), privateKey: Array(cached.privateKey.utf8))
    else { return nil }
    return (identity, Int64(clamping: cached.receivedSeconds))
  }

  /// The join token, read anew each time since it is replaced while the proxy runs.
  func token(_ path: String?) -> String? {
    guard let path, let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init)
  }

  func keep(_ configuration: CachedConfiguration) { write(configuration.protobuf(), "configuration") }

  func keep(chain: [UInt8], key: String, receivedSeconds: UInt64) {
    var kept = CachedIdentity()
    kept.chain = String(decoding: chain, as: UTF8.self)
    kept.privateKey = key
    kept.receivedSeconds = receivedSeconds
    write(kept.protobuf(), "identity")
  }
}
