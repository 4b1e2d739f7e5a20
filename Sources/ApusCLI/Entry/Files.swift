import FoundationEssentials
import Glibc

/// Files as the command line needs them: whole, and private where they hold secrets.
enum Files {
  /// The file's bytes; nil where it cannot be read.
  static func read(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return readAll(descriptor: descriptor)
  }

  static func readAll(descriptor: Int32) -> [UInt8] {
    var content: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 * 1024)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count > 0 {
        content += buffer[..<count]
      } else if count == 0 || errno != EINTR {
        return content
      }
    }
  }

  /// Replaces a file that only its owner may read, in one step: readers see the old or the new one.
  static func writePrivate(_ path: String, _ bytes: [UInt8]) throws(CLIFailure) {
    let temporary = "\(path).\(getpid()).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("cannot write \(path)") }
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withContiguousStorageIfAvailable { Glibc.write(descriptor, $0.baseAddress, $0.count) } ?? -1
      guard count > 0 else {
        if errno == EINTR { continue }
        let problem = failure("cannot write \(path)")
        unlink(temporary)
        throw problem
      }
      rest = rest.dropFirst(count)
    }
    guard rename(temporary, path) == 0 else { throw failure("cannot replace \(path)") }
  }

  /// Makes a folder, and those above it, that only its owner may enter. One that is there stays as it is.
  static func makePrivateFolder(_ path: String) throws(CLIFailure) {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw CLIFailure(
        .failed, "cannot make the folder \(path): \(causeOfNotMaking(path))",
        hint: "name one that you may write to with --data or APUS_DATA")
    }
  }

  /// Why a folder cannot be made: what the system says of the first part of its path that is none and cannot be made.
  private static func causeOfNotMaking(_ path: String) -> String {
    var end = path.startIndex
    while end < path.endIndex {
      end = path[path.index(after: end)...].firstIndex(of: "/") ?? path.endIndex
      let part = String(path[..<end])
      if isFolder(part) { continue }
      if mkdir(part, 0o700) == 0 { continue }
      let problem = errno
      return problem == EEXIST ? "\(part) is a file" : "\(part): \(String(cString: strerror(problem)))"
    }
    return "it cannot be used"
  }

  /// Whether so many bytes can be written to a file in a folder, and reach the disk: nil, or what the system says.
  static func refusalToWrite(_ bytes: Int, in folder: String) -> String? {
    let file = "\(folder)/.check.\(getpid())"
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return String(cString: strerror(errno)) }
    defer {
      close(descriptor)
      unlink(file)
    }
    let block = [UInt8](repeating: 0, count: bytes)
    var written = 0
    while written < bytes {
      let count = Glibc.write(descriptor, block, bytes - written)
      if count > 0 {
        written += count
      } else if errno != EINTR {
        return String(cString: strerror(errno))
      }
    }
    return fsync(descriptor) == 0 ? nil : String(cString: strerror(errno))
  }

  /// The names in a folder in order; nil where it is none.
  static func names(in folder: String) -> [String]? {
    try? FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  static func isFolder(_ path: String) -> Bool {
    var information = stat()
    return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
  }

  /// The permission bits; nil where there is no such file.
  static func mode(_ path: String) -> UInt32? {
    var information = stat()
    return stat(path, &information) == 0 ? UInt32(information.st_mode & 0o7777) : nil
  }

  /// Seconds since the file was last written to; nil where there is none.
  static func age(_ path: String, nowSeconds: Int64) -> Int64? {
    var information = stat()
    return stat(path, &information) == 0 ? nowSeconds - Int64(information.st_mtim.tv_sec) : nil
  }

  static func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }

  static func isExecutableFile(_ path: String) -> Bool {
    !isFolder(path) && access(path, X_OK) == 0
  }

  static func remove(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
  }

  static func target(ofLink path: String) -> String? {
    try? FileManager.default.destinationOfSymbolicLink(atPath: path)
  }

  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// A failure with the system's reason for the last refused call.
  static func failure(_ what: String) -> CLIFailure {
    CLIFailure(.failed, "\(what): \(String(cString: strerror(errno)))")
  }
}
