/// What turns the compiler's checks off is confined to places that say why.
enum Confinement {
  /// Folders and files whose purpose is to work on addresses, each with the reason.
  ///
  /// Any other file says it itself, in one of its first three lines: `// Unsafe by design: …`.
  static let pointerPlaces: [String: String] = [
    "Sources/MeshReactor/": "calls the kernel with addresses",
    "Sources/MeshTLS/": "calls the TLS library with addresses",
    "Sources/MeshHTTP/": "finds the parts of a head in the received bytes, where they stand",
    "Sources/MeshPolicy/Regex/": "compiled once into memory that the traffic path reads",
    "Sources/MeshPolicy/RouteMatch/": "compiled once into memory that the traffic path reads",
    "Sources/MeshPolicy/Balance/ConsistentHash.swift": "points into a FrozenStore",
    "Sources/MeshPolicy/FrozenStore.swift": "owns that memory",
    "Sources/MeshPolicy/Balance/EndpointSet.swift": "chooses among endpoints without counting references",
    "Sources/MeshPolicy/Timeout/Deadline.swift": "reads a header field where it stands",
    "Sources/MeshTelemetry/": "plain counters, and a ring that two threads share",
    "Sources/MeshModel/MessageHead.swift": "views of received bytes without a copy, once per request",
    "Sources/MeshModel/FixedWriter.swift": "writes into memory that the caller bounds",
    "Sources/MeshWire/ProtobufWriter.swift": "writes the bytes of a number",
    "Sources/MeshProxy/Program/Log.swift": "calls the kernel with addresses",
    "Sources/MeshAPI/YAMLReader.swift": "calls the YAML library's C half",
    "Sources/MeshXDS/Transport/WireCoding.swift": "copies a message out of the transport's buffer",
  ]

  static let pointerMark = "Unsafe by design:"
  static let uncheckedMark = "Unchecked:"

  static func check(_ source: SourceText, pointerPlaces: [String: String] = pointerPlaces) -> [Violation] {
    pointers(source, pointerPlaces) + uncheckedSharing(source)
  }

  private static func pointers(_ source: SourceText, _ places: [String: String]) -> [Violation] {
    guard !places.keys.contains(where: source.path.hasPrefix) else { return [] }
    let marks = SourceText.positions(of: Array(pointerMark.utf8), in: source.comments)
    guard !marks.contains(where: { source.line(at: $0) <= 3 }) else { return [] }
    return lines(withWordsFrom: ["Unsafe", "withUnsafe", "Unmanaged", "OpaquePointer"], in: source).map {
      Violation(
        path: source.path, line: $0,
        message: "pointers are confined: use Span or an array, or let the file begin with `// \(pointerMark) REASON`")
    }
  }

  private static func uncheckedSharing(_ source: SourceText) -> [Violation] {
    let reasons = SourceText.positions(of: Array(uncheckedMark.utf8), in: source.comments).map(source.line)
    return (source.positions(of: "@unchecked") + source.positions(of: "nonisolated(unsafe)")).sorted().compactMap {
      let line = source.line(at: $0)
      guard !reasons.contains(where: { abs($0 - line) <= 2 }) else { return nil }
      return Violation(
        path: source.path, line: line,
        message: "unchecked sharing: use Mutex, Atomic or an actor, or say beside it `// \(uncheckedMark) REASON`")
    }
  }

  /// Entries of the table above that name nothing any more: a reason without a subject.
  static func stale(files: [String], places: [String: String] = pointerPlaces) -> [String] {
    places.keys.filter { place in !files.contains { $0.hasPrefix(place) } }.sorted()
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
