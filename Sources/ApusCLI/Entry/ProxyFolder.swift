import Glibc

/// The folder of one proxy, for as long as the `apus run` that made it lives: token, certificate, configuration, log.
///
/// A lock in it says that it is used; the kernel gives the lock up with the process, however that ends. What a killed
/// `run` left behind, its proxy's key among it, is removed by whoever calls `sweep` next.
struct ProxyFolder: ~Copyable {
  let path: String
  private let descriptor: Int32

  /// How long the log of a `run` that failed is kept.
  static let keptLogSeconds = 7 * 86_400

  /// Makes the folder and locks it.
  init(path: String) throws(CLIFailure) {
    self.path = path
    // Somebody may sweep between the making and the locking: then it is made again.
    for _ in 0..<16 {
      try Files.makePrivateFolder(path)
      let descriptor = open(Self.lockFile(path), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else {
        if errno == ENOENT { continue }
        throw Files.failure("cannot write into \(path)")
      }
      var information = stat()
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &information) == 0, information.st_nlink > 0 {
        self.descriptor = descriptor
        return
      }
      close(descriptor)
    }
    throw CLIFailure(.failed, "the folder \(path) is used by another process", hint: "run it again")
  }

  deinit {
    close(descriptor)
  }

  private static func lockFile(_ folder: String) -> String { "\(folder)/lock" }

  /// All went well: nothing of it is needed any more.
  consuming func remove() { Files.remove(path) }

  /// Keeps what tells why something failed, and nothing else.
  consuming func removeAllButLog() {
    for name in Files.names(in: path) ?? [] where name != "proxy.log" { Files.remove("\(path)/\(name)") }
    rmdir(path)
  }

  /// Removes the folders whose `run` is no more, and logs of failures that are old.
  /// - Parameter folder: the one that holds the proxies' folders; nothing happens where it is not there.
  static func sweep(_ folder: String, nowSeconds: Int64) {
    for name in Files.names(in: folder) ?? [] {
      let path = "\(folder)/\(name)"
      let descriptor = open(lockFile(path), O_RDWR | O_CLOEXEC)
      if descriptor >= 0 {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { Files.remove(path) }
        close(descriptor)
      } else if let age = Files.age(path, nowSeconds: nowSeconds), age > keptLogSeconds {
        Files.remove(path)
      }
    }
  }
}
