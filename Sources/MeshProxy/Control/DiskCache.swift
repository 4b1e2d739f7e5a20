#if canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Keeps small files that a crash cannot spoil: written beside and renamed, read back only if their checksum agrees.
///
/// Layout: eight bytes of name, eight bytes of length and eight bytes of FNV-1a hash (both little-endian), content.
package enum DiskCache {
  /// Largest content that is written or read, bytes.
  package static let maximumBytes = 256 * 1024 * 1024
  private static let name = Array("APUSCCH1".utf8)
  private static let headBytes = 24

  /// Why a file was not written or read; the sentence names file and cause.
  package enum Failure: Error, Sendable, Equatable {
    /// The file is not there.
    case absent
    /// The file is not what was written. It is left as it is, and never used.
    case corrupt(String)
    /// The system refused; `code` is errno.
    case system(operation: String, code: Int32)
    case tooLarge(bytes: Int)

    package var sentence: String {
      switch self {
      case .absent: "the file is not there"
      case .corrupt(let what): "the file is damaged (\(what)); it is not used, and replaced by the next good one"
      case .system(let operation, let code): "\(operation) failed: \(String(cString: strerror(code)))"
      case .tooLarge(let bytes): "\(bytes) bytes are over the limit of \(DiskCache.maximumBytes)"
      }
    }
  }

  /// Replaces the content of a file, all or nothing. The file is for the owner only (mode 0600).
  ///
  /// - Parameter path: the folder must exist; a file of the same name with `.new` behind it is overwritten.
  package static func write(_ content: [UInt8], to path: String) throws(Failure) {
    guard content.count <= maximumBytes else { throw .tooLarge(bytes: content.count) }
    let temporary = path + ".new"
    let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw .system(operation: "open \(temporary)", code: errno) }
    do throws(Failure) {
      try writeAll(name + littleEndian(UInt64(content.count)) + littleEndian(hash(content[...])), to: file)
      try writeAll(content, to: file)
      guard fsync(file) == 0 else { throw .system(operation: "fsync", code: errno) }
    } catch {
      close(file)
      unlink(temporary)
      throw error
    }
    close(file)
    guard rename(temporary, path) == 0 else {
      let code = errno
      unlink(temporary)
      throw .system(operation: "rename to \(path)", code: code)
    }
    syncFolder(of: path)
  }

  /// The content of a file that `write` wrote.
  package static func read(_ path: String) throws(Failure) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard file >= 0 else {
      throw errno == ENOENT ? .absent : .system(operation: "open \(path)", code: errno)
    }
    defer { close(file) }
    let bytes = try readAll(file)
    guard bytes.count >= headBytes, Array(bytes[..<8]) == name else { throw .corrupt("it does not begin as it should") }
    let content = bytes[headBytes...]
    guard number(bytes[8..<16]) == UInt64(content.count) else { throw .corrupt("it has another length") }
    guard number(bytes[16..<24]) == hash(content) else { throw .corrupt("its checksum does not agree") }
    return Array(content)
  }

  private static func writeAll(_ bytes: [UInt8], to file: Int32) throws(Failure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = Array(rest.prefix(1 << 20))
      #if canImport(Musl)
        let count = Musl.write(file, piece, piece.count)
      #else
        let count = Glibc.write(file, piece, piece.count)
      #endif
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .system(operation: "write", code: errno) }
      rest = rest.dropFirst(count)
    }
  }

  private static func readAll(_ file: Int32) throws(Failure) -> [UInt8] {
    var result: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      #if canImport(Musl)
        let count = Musl.read(file, &piece, piece.count)
      #else
        let count = Glibc.read(file, &piece, piece.count)
      #endif
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .system(operation: "read", code: errno) }
      guard count > 0 else { return result }
      result += piece.prefix(count)
      guard result.count <= maximumBytes + headBytes else { throw .tooLarge(bytes: result.count) }
    }
  }

  /// So that the new name is on disk too. A folder that cannot be synced costs durability, not correctness.
  private static func syncFolder(of path: String) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let handle = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard handle >= 0 else { return }
    _ = fsync(handle)
    close(handle)
  }

  private static func littleEndian(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}
