/// What turns the compiler's checks off is confined to places with names and reasons.
enum Confinement {
  /// Targets whose purpose is to talk to C: pointers are their trade.
  static let pointerTargets: [String: String] = [
    "MeshReactor": "calls the kernel with addresses",
    "MeshTLS": "calls the TLS library with addresses",
    "MeshTLSTests": "gives a TLS session memory to read and to write",
    "MeshHTTP": "reads and writes heads, bodies and frames in place",
    "MeshHTTPTests": "gives the codecs memory to read and write",
    "MeshPolicy": "reads compiled tables and received heads in place, with nothing to retain",
    "MeshPolicyTests": "gives those tables heads to read",
    "MeshTelemetry": "counts in memory of the loop, and writes log lines into it",
    "MeshTelemetryTests": "gives it lines to write",
  ]

  /// Files elsewhere that use pointers, each with the reason.
  static let pointerFiles: [String: String] = [
    "Sources/MeshAPI/YAMLReader.swift": "takes the events of the YAML library, whose interface is C",
    "Sources/ApusHTTP/DetachedThread.swift": "hands a closure to the system's threads",
    "Sources/MeshModel/FixedWriter.swift": "appends to memory that the loop owns",
    "Sources/MeshModel/MessageHead.swift": "views of received bytes without a copy, once per request",
    "Sources/MeshWire/Protobuf.swift": "copies a string into the message in one step",
  ]

  /// Files that promise thread safety the compiler cannot check, each with the reason.
  static let uncheckedFiles: [String: String] = [
    "Sources/MeshTLS/CertificateRequest.swift": "a key of the TLS library, counted atomically and never changed",
    "Sources/MeshTLS/TLSContext.swift": "a context of the TLS library, finished in init, locked by the library",
    "Sources/MeshTLS/TLSMaterial.swift": "certificates of the TLS library, counted atomically and never changed",
    "Sources/MeshPolicy/FrozenStore.swift": "memory written only before its owner is handed out",
    "Sources/MeshPolicy/Regex/RegexView.swift": "points into a FrozenStore",
    "Sources/MeshPolicy/RouteMatch/RouteTableView.swift": "points into a FrozenStore",
    "Sources/MeshTelemetry/LogRing.swift": "one writer and one reader, each with its part of the bytes",
  ]

  static func check(
    _ source: SourceText, pointerTargets: [String: String] = pointerTargets,
    pointerFiles: [String: String] = pointerFiles, uncheckedFiles: [String: String] = uncheckedFiles
  ) -> [Violation] {
    var found: [Violation] = []
    let target = Repository.target(of: source.path)
    if pointerTargets[target] == nil, pointerFiles[source.path] == nil {
      found += lines(withWordsFrom: ["Unsafe", "withUnsafe", "Unmanaged", "OpaquePointer"], in: source).map {
        Violation(
          path: source.path, line: $0,
          message: "pointers are confined: use Span or an array, or name this file and the reason in Confinement")
      }
    }
    if uncheckedFiles[source.path] == nil {
      found += (source.positions(of: "@unchecked") + source.positions(of: "nonisolated(unsafe)")).sorted().map {
        Violation(
          path: source.path, line: source.line(at: $0),
          message: "unchecked sharing: use Mutex, Atomic or an actor, or name this file and the reason in Confinement")
      }
    }
    return found
  }

  /// Entries of the tables above that name no file any more: a reason without a subject.
  static func stale(files: Set<String>) -> [String] {
    (Array(pointerFiles.keys) + uncheckedFiles.keys).filter { !files.contains($0) }.sorted()
  }

  /// The lines, each once, on which a word begins with one of `prefixes`.
  private static func lines(withWordsFrom prefixes: [String], in source: SourceText) -> [Int] {
    var found: Set<Int> = []
    let code = source.code
    var index = 0
    while index < code.count {
      guard SourceText.isWord(code[index]) else {
        index += 1
        continue
      }
      let word = code[index...].prefix(while: SourceText.isWord)
      if prefixes.contains(where: { word.starts(with: $0.utf8) }) { found.insert(source.line(at: index)) }
      index = word.endIndex
    }
    return found.sorted()
  }
}
