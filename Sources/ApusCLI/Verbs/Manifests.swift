import MeshControl

/// The files that `apply` and `delete` were pointed at, joined to one stream of YAML documents.
struct Manifests {
  /// One file and the line of the joined text on which it begins, from 1.
  struct Source: Equatable {
    var name: String
    var firstLine: Int
  }

  private(set) var bytes: [UInt8] = []
  private(set) var sources: [Source] = []

  /// Bound of all files together, bytes.
  static let limitBytes = 32 * 1024 * 1024

  init(paths: [String], input: () -> [UInt8]) throws(CLIFailure) {
    guard !paths.isEmpty else {
      throw CLIFailure(.usage, "nothing to read from", hint: "name a file, a folder or - with -f")
    }
    var line = 1
    for (name, content) in try Self.read(paths, input) {
      guard bytes.count + content.count <= Self.limitBytes else {
        throw CLIFailure(
          .usage, "\(name): all files together are over \(Self.limitBytes / 1024 / 1024) MB",
          hint: "apply them in several steps")
      }
      if !sources.isEmpty {
        bytes += Array("---\n".utf8)
        line += 1
      }
      sources.append(Source(name: name, firstLine: line))
      bytes += content
      if bytes.last != 0x0A { bytes.append(0x0A) }
      line += content.reduce(0) { $1 == 0x0A ? $0 + 1 : $0 } + (content.last == 0x0A ? 0 : 1)
    }
  }

  private static func read(_ paths: [String], _ input: () -> [UInt8]) throws(CLIFailure) -> [(String, [UInt8])] {
    var found: [(String, [UInt8])] = []
    for path in paths {
      if path == "-" {
        found.append(("standard input", input()))
        continue
      }
      guard Files.isFolder(path) else {
        found.append((path, try content(of: path)))
        continue
      }
      let endings = [".yaml", ".yml", ".json"]
      let names = (Files.names(in: path) ?? []).filter { name in endings.contains(where: name.hasSuffix) }
      guard !names.isEmpty else {
        throw CLIFailure(.usage, "\(path) has no .yaml, .yml or .json file", hint: "name the files with -f")
      }
      for name in names { found.append(("\(path)/\(name)", try content(of: "\(path)/\(name)"))) }
    }
    return found
  }

  private static func content(of path: String) throws(CLIFailure) -> [UInt8] {
    guard let content = Files.read(path) else { throw Files.failure("cannot read \(path)") }
    return content
  }

  /// The file that a line of the joined text came from, and the line in that file.
  func place(ofLine line: Int) -> (file: String, line: Int)? {
    guard let source = sources.last(where: { $0.firstLine <= line }) else { return nil }
    return (source.name, line - source.firstLine + 1)
  }

  /// A finding that names a line of the joined text, with the file and the line in that file instead.
  func locate(_ finding: String) -> String {
    guard let word = finding.firstRange(of: "line ") else { return finding }
    let digits = finding[word.upperBound...].prefix { $0.isASCII && $0.isNumber }
    guard let line = Int(digits), let place = place(ofLine: line) else { return finding }
    let rest = finding[digits.endIndex...]
    return "\(place.file): \(finding[..<word.upperBound])\(place.line)\(rest)"
  }
}
