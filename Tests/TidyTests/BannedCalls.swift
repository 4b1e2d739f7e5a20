/// Words that may not stand in the sources, where, why, and what to use instead.
struct BannedCall {
  /// What is looked for in code (comments and strings do not count). Whole words where it begins or ends with a letter.
  let pattern: String
  /// What to do instead.
  let instead: String
  /// The targets it is banned in; nil for every target.
  var targets: Set<String>?
  /// Files that may use it all the same, each with the reason.
  var exceptions: [String: String] = [:]

  static let programs: Set<String> = ["apus", "apus-proxy", "apus-proxy-counted", "apus-demo"]
  static let libraries = Set(ImportRules.allowed.keys).subtracting(programs)

  static let all: [BannedCall] = [
    BannedCall(
      pattern: "print(", instead: "return the text, or log through the logger handed in", targets: libraries),
    BannedCall(pattern: "debugPrint(", instead: "remove it, or log through the logger handed in"),
    BannedCall(pattern: "try!", instead: "handle the error, or throw a typed one"),
    BannedCall(pattern: "as!", instead: "use `as?` and handle the other case"),
    BannedCall(
      pattern: "fatalError(", instead: "return an error: no peer and no configuration may end the process",
      exceptions: ["Sources/MeshReactor/ByteQueue.swift": "memory that cannot be had leaves nothing sensible to do"]),
    BannedCall(pattern: "assertionFailure(", instead: "return an error, or `precondition` for a bug of our own"),
    BannedCall(
      pattern: "Date(", instead: "take `now` as an argument: the clock is read once a loop turn",
      targets: ImportRules.dataPlane),
    BannedCall(
      pattern: "ContinuousClock(", instead: "take `now` as an argument: the clock is read once a loop turn",
      targets: ImportRules.dataPlane),
    BannedCall(
      pattern: "SystemRandomNumberGenerator", instead: "take the seeded generator as an argument",
      targets: ["MeshPolicy", "MeshHTTP", "MeshModel", "MeshWire", "MeshTelemetry"]),
    BannedCall(pattern: "DispatchQueue", instead: "use structured concurrency, or a `Loop` on the data plane"),
    BannedCall(pattern: "DispatchSemaphore", instead: "use structured concurrency"),
    BannedCall(pattern: "Thread.sleep", instead: "use `Task.sleep(for:)`, or a timer of the loop"),
    BannedCall(pattern: "usleep(", instead: "use `Task.sleep(for:)`, or a timer of the loop"),
    BannedCall(pattern: "NSLock", instead: "use `Mutex` of Synchronization, or an actor"),
    BannedCall(pattern: "@testable", instead: "make it `package`: tests build in release too"),
    BannedCall(pattern: "unsafeBitCast(", instead: "use a conversion that the type checker sees"),
    BannedCall(pattern: "unsafeDowncast(", instead: "use `as?`"),
  ]

  func check(_ source: SourceText) -> [Violation] {
    guard targets?.contains(Repository.target(of: source.path)) ?? true, exceptions[source.path] == nil else {
      return []
    }
    return source.positions(of: pattern).map { position in
      Violation(
        path: source.path, line: source.line(at: position),
        message: "`\(pattern.filter { $0 != "(" })` is not used here: \(instead)")
    }
  }
}

/// A postfix `!`: a crash that somebody else's bytes may reach.
enum ForceUnwrap {
  static func check(_ source: SourceText) -> [Violation] {
    let code = source.code
    return code.indices.dropFirst().compactMap { index in
      guard code[index] == UInt8(ascii: "!"), endsExpression(code[index - 1]) else { return nil }
      if index + 1 < code.count, code[index + 1] == UInt8(ascii: "=") { return nil }
      // `try!` and `as!` have rules of their own.
      let before = String(decoding: code[max(0, index - 4)..<index], as: UTF8.self)
      if before.hasSuffix(" try") || before.hasSuffix(" as") { return nil }
      return Violation(
        path: source.path, line: source.line(at: index),
        message: "postfix `!`: use `guard let`, `?`, or a value that cannot be absent")
    }
  }

  private static func endsExpression(_ byte: UInt8) -> Bool {
    SourceText.isWord(byte) || byte == UInt8(ascii: ")") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "?")
  }
}
