import Foundation
import MeshControl
import MeshStore

/// A second process that commits without end and says on its standard output what has been answered.
enum ChildWriter {
  private static let variable = "APUS_TEST_STORE"

  static var isChild: Bool { ProcessInfo.processInfo.environment[variable] != nil }

  /// Starts this very test program again with only the child's test, lets it commit, and kills it.
  /// - Returns: the last number that a commit was answered for; what was stored before if there was none.
  static func runAndKill(database: String, afterMilliseconds delay: Int) async throws -> Int {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    var arguments = Array(CommandLine.arguments.dropFirst())
    while let index = arguments.firstIndex(of: "--filter") {
      arguments.removeSubrange(index..<min(index + 2, arguments.count))
    }
    process.arguments = arguments + ["--filter", "child that commits until it is killed"]
    process.environment = ProcessInfo.processInfo.environment.merging([variable: database]) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    var text = ""
    let handle = pipe.fileHandleForReading
    // The clock starts with the first answer, so that the kill falls into the writing and not into the start.
    while !text.contains("answered") {
      let chunk = handle.availableData
      if chunk.isEmpty { break }
      text += String(decoding: chunk, as: UTF8.self)
    }
    try await Task.sleep(for: .milliseconds(delay))
    kill(process.processIdentifier, SIGKILL)
    text += String(decoding: handle.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    // The last line may be cut off by the kill.
    let whole = text.lastIndex(of: "\n").map { text[...$0] } ?? ""
    let numbers = whole.split(separator: "\n").filter { $0.hasPrefix("answered ") }.compactMap { Int($0.dropFirst(9)) }
    return numbers.last ?? 0
  }

  static func write() async throws {
    guard let path = ProcessInfo.processInfo.environment[variable] else { return }
    let store = try await open(path)
    var number = try await targetPort("left", in: store) ?? 0
    say("answered \(number)\n")
    while number < 60_000 {
      number += 1
      _ = try await store.commit(
        [.apply(service("left", targetPort: number)), .apply(service("right", targetPort: number))], isDryRun: false)
      say("answered \(number)\n")
    }
  }

  private static func say(_ line: String) {
    FileHandle.standardOutput.write(Data(line.utf8))
  }
}
