import Foundation

/// Why a file that the control plane keeps cannot be used: what is wrong, and how to mend it.
package enum SecretFileError: Error, Equatable, Sendable, CustomStringConvertible {
  /// There is no such file.
  case missing(path: String)
  /// Somebody other than the owner may read or write it. `mode` is the permission bits.
  case modeTooOpen(path: String, mode: UInt32)
  /// It is not a regular file.
  case notAFile(path: String)
  /// It is larger than anything that belongs there.
  case tooLarge(path: String, limitBytes: Int)
  /// It holds no token of 16 to 256 printable characters.
  case notAToken(path: String)
  /// The system refused. `operation` is the call, `code` the error number.
  case system(path: String, operation: String, code: Int32)

  package var description: String {
    switch self {
    case .missing(let path): "\(path) is missing."
    case .modeTooOpen(let path, let mode):
      "\(path) may be read or written by others (mode 0\(String(mode, radix: 8))): run `chmod 600 \(path)`, "
        + "and replace the secret if somebody else has used this machine."
    case .notAFile(let path): "\(path) is not a regular file: move it away and put the file back from a backup."
    case .tooLarge(let path, let limit): "\(path) is larger than \(limit) bytes: put it back from a backup."
    case .notAToken(let path):
      "\(path) holds no token: delete it, and the control plane makes a new one when it starts."
    case .system(let path, let operation, let code):
      "\(path): \(operation) failed: \(String(cString: strerror(code))) (\(code))."
    }
  }
}

/// Reading and writing of small files whose content is secret or whose loss is expensive.
enum SecretFile {
  /// Bytes that any of our files may have.
  static let limitBytes = 64 * 1024

  static func exists(_ path: String) -> Bool {
    access(path, F_OK) == 0
  }

  /// The whole content.
  ///
  /// - Parameter secret: refuse a file that anybody but its owner may read or write.
  static func read(_ path: String, secret: Bool) throws(SecretFileError) -> [UInt8] {
    guard let facts = try? FileManager.default.attributesOfItem(atPath: path) else {
      throw exists(path) ? .system(path: path, operation: "stat", code: errno) : .missing(path: path)
    }
    guard facts[.type] as? FileAttributeType == .typeRegular else { throw .notAFile(path: path) }
    let mode = (facts[.posixPermissions] as? NSNumber)?.uint32Value ?? 0o777
    if secret, mode & 0o077 != 0 { throw .modeTooOpen(path: path, mode: mode) }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw .system(path: path, operation: "open", code: errno) }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = Foundation.read(descriptor, &piece, piece.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw .system(path: path, operation: "read", code: errno)
      }
      if count == 0 { return content }
      content += piece.prefix(count)
      guard content.count <= limitBytes else { throw .tooLarge(path: path, limitBytes: limitBytes) }
    }
  }

  /// Writes a new file, mode 0600 unless told, and waits until it is on the disk. It must not exist.
  static func create(_ path: String, _ content: [UInt8], mode: UInt32 = 0o600) throws(SecretFileError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(mode))
    guard descriptor >= 0 else { throw .system(path: path, operation: "open", code: errno) }
    defer { close(descriptor) }
    // The umask may have taken bits away; it never adds any.
    guard fchmod(descriptor, mode_t(mode)) == 0 else { throw .system(path: path, operation: "fchmod", code: errno) }
    var rest = content[...]
    while !rest.isEmpty {
      let count = write(descriptor, Array(rest), rest.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw .system(path: path, operation: "write", code: errno)
      }
      rest = rest.dropFirst(count)
    }
    guard fsync(descriptor) == 0 else { throw .system(path: path, operation: "fsync", code: errno) }
  }

  /// Puts new content in the place of a file, or makes it: at every moment there is the old one or the new one, whole.
  static func replace(_ path: String, _ content: [UInt8], mode: UInt32 = 0o600) throws(SecretFileError) {
    let temporary = "\(path).new"
    unlink(temporary)
    try create(temporary, content, mode: mode)
    try rename(temporary, path)
  }

  static func rename(_ old: String, _ new: String) throws(SecretFileError) {
    guard Foundation.rename(old, new) == 0 else { throw .system(path: new, operation: "rename", code: errno) }
    try synchronize(folder: parent(of: new))
  }

  /// Makes a folder that only its owner may enter, if there is none.
  static func makeFolder(_ path: String) throws(SecretFileError) {
    guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
    let code = errno
    guard code == ENOENT, parent(of: path) != path else {
      throw .system(path: path, operation: "mkdir", code: code)
    }
    try makeFolder(parent(of: path))
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
      throw .system(path: path, operation: "mkdir", code: errno)
    }
  }

  /// Waits until the names in a folder are on the disk.
  static func synchronize(folder: String) throws(SecretFileError) {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(path: folder, operation: "open", code: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .system(path: folder, operation: "fsync", code: errno) }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Removes a file; it is no error if there is none.
  static func remove(_ path: String) { unlink(path) }

  /// Random bytes of the system's generator, fit for secrets.
  static func random(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
  }
}

extension Sequence<UInt8> {
  /// Two lower-case digits a byte.
  var hexadecimal: String { map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
}
