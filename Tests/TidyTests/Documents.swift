import Foundation

/// What the documents say exists, exists.
enum Documents {
  /// What a document may speak of.
  struct World {
    /// Every file, from the top of the repository.
    let files: Set<String>
    /// Targets of the package.
    let targets: Set<String>
    /// Targets of the Makefile.
    let makeTargets: Set<String>
    /// Functions of the integration tests, `test_…`.
    var integrationTests: Set<String> = []

    /// Whether a path names a file or a folder with files in it.
    func has(_ path: String) -> Bool {
      let plain = path.hasSuffix("/") ? String(path.dropLast()) : path
      return files.contains(plain) || files.contains { $0.hasPrefix(plain + "/") }
    }
  }

  private static let topFolders = [
    "Sources/", "Tests/", "Benchmarks/", "Scripts/", "docs/", "deploy/", "proto/", ".ci/",
  ]

  static func check(path: String, text: String, world: World) -> [Violation] {
    var found: [Violation] = []
    var isFenced = false
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.hasPrefix("```") {
        isFenced.toggle()
        continue
      }
      let complaints =
        links(in: line).compactMap { linkComplaint($0, from: path, world: world) }
        + (isFenced ? [] : quoted(in: line)).compactMap { quotedComplaint($0, world: world) }
      found += complaints.map { Violation(path: path, line: number + 1, message: $0) }
    }
    return found
  }

  private static func quotedComplaint(_ words: Substring, world: World) -> String? {
    if words.hasPrefix("make ") {
      let target = words.dropFirst(5).prefix { $0 != " " }
      return world.makeTargets.contains(String(target)) ? nil : "the Makefile has no target `\(target)`"
    }
    guard !words.contains(" "), !words.contains("*"), !words.contains("…") else { return nil }
    if words.hasPrefix("test_") {
      return world.integrationTests.contains(String(words)) ? nil : "there is no integration test `\(words)`"
    }
    if topFolders.contains(where: words.hasPrefix) {
      return world.has(String(words)) ? nil : "there is no `\(words)`: name what took its place"
    }
    let isTargetName = words.hasPrefix("Mesh") && words.dropFirst(4).allSatisfy(\.isLetter) && words.count > 4
    if isTargetName, words.dropFirst(4).first?.isUppercase == true {
      return world.targets.contains(String(words)) ? nil : "the package has no target `\(words)`"
    }
    return nil
  }

  private static func linkComplaint(_ link: Substring, from path: String, world: World) -> String? {
    if link.contains("://") || link.hasPrefix("#") || link.hasPrefix("mailto:") { return nil }
    let file = link.prefix { $0 != "#" }
    var parts = path.split(separator: "/").dropLast().map(String.init)
    for part in file.split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(String(part)) }
    }
    let resolved = parts.joined(separator: "/")
    return world.has(resolved) ? nil : "the link leads nowhere: \(link)"
  }

  /// The text between single back quotes.
  static func quoted(in line: Substring) -> [Substring] {
    let parts = line.split(separator: "`", omittingEmptySubsequences: false)
    return parts.count < 3 ? [] : stride(from: 1, to: parts.count - 1, by: 2).map { parts[$0] }
  }

  /// The destinations of `[text](destination)`.
  static func links(in line: Substring) -> [Substring] {
    line.components(separatedBy: "](").dropFirst().compactMap { rest in
      rest.firstIndex(of: ")").map { Substring(rest[..<$0]) }
    }
  }

  /// The test functions that a Python file defines.
  static func tests(_ text: String) -> [String] {
    text.split(separator: "\n").compactMap { line in
      line.hasPrefix("def test_") ? String(line.dropFirst(4).prefix { $0 != "(" }) : nil
    }
  }

  /// The targets that a Makefile's text defines.
  static func makeTargets(_ text: String) -> Set<String> {
    Set(
      text.split(separator: "\n").compactMap { line in
        guard let colon = line.firstIndex(of: ":"), !line.hasPrefix("\t"), !line.hasPrefix(".") else { return nil }
        let name = line[..<colon]
        return name.allSatisfy { $0.isLowercase || $0 == "-" } ? String(name) : nil
      })
  }
}

/// Words that no file may carry, whatever its language.
enum Text {
  /// Marks of work left undone. Written in halves, so that this file does not carry them itself.
  private static let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
  /// What a merge leaves where both sides changed a line. Written in halves as well.
  private static let conflicts = ["<<<" + "<<<< ", ">>>" + ">>>> "]
  /// Folders that exist on one machine only.
  private static let machinePaths = ["/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/"]

  static func check(path: String, text: String) -> [Violation] {
    let bytes = Array(text.utf8)
    func violations(_ patterns: [String], _ message: (String) -> String) -> [Violation] {
      patterns.flatMap { pattern in
        SourceText.positions(of: Array(pattern.utf8), in: bytes).map { position in
          let line = 1 + bytes[..<position].count { $0 == UInt8(ascii: "\n") }
          return Violation(path: path, line: line, message: message(pattern))
        }
      }
    }
    return violations(marks) { "`\($0)`: do it, or file an issue; the tree holds finished work" }
      + violations(conflicts) { _ in "a conflict of a merge that nobody has settled" }
      + violations(machinePaths) { "`\($0)…` is a path of one machine: make it relative or an argument" }
  }
}
