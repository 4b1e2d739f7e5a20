import Foundation

/// Something that breaks a house rule, and how to mend it.
struct Violation: Equatable, CustomStringConvertible {
  let path: String
  let line: Int
  let message: String

  var description: String { "\(path):\(line): \(message)" }
}

/// The work tree that this test was built from.
enum Repository {
  /// The top folder, found from the place of this source file.
  static let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// Folders that hold nothing written by people.
  private static let generated = [".git", ".build", ".build-peers", "results", "__pycache__", ".pytest_cache"]

  /// The paths, from the top, of every file people wrote; sorted.
  static func files() -> [String] {
    var found: [String] = []
    collect("", into: &found)
    return found.sorted()
  }

  private static func collect(_ folder: String, into found: inout [String]) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: top.appendingPathComponent(folder).path)) ?? []
    for name in names where !generated.contains(name) && !name.hasPrefix(".build") {
      let path = folder.isEmpty ? name : "\(folder)/\(name)"
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: top.appendingPathComponent(path).path, isDirectory: &isFolder)
      else { continue }
      if isFolder.boolValue { collect(path, into: &found) } else { found.append(path) }
    }
  }

  /// A file's text; nil for what is not UTF-8.
  static func text(_ path: String) -> String? {
    try? String(contentsOf: top.appendingPathComponent(path), encoding: .utf8)
  }

  /// Every Swift file below `folders`, split into code and comments.
  static func swiftSources(_ folders: String...) -> [SourceText] {
    files().filter { path in path.hasSuffix(".swift") && folders.contains { path.hasPrefix($0 + "/") } }
      .compactMap { path in text(path).map { SourceText(path: path, text: $0) } }
  }

  /// The target a source file belongs to: the folder below `Sources` or `Tests`.
  static func target(of path: String) -> String {
    let parts = path.split(separator: "/")
    return parts.count > 1 ? String(parts[1]) : ""
  }
}
