import Foundation

/// Runs programs of the system that check our work.
enum Tool {
  struct Failed: Error {
    var output: String
  }

  /// What openssl said on both outputs.
  static func openssl(_ arguments: [String], input: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    let entry = Pipe()
    let exit = Pipe()
    process.standardInput = entry
    process.standardOutput = exit
    process.standardError = exit
    try process.run()
    try entry.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try entry.fileHandleForWriting.close()
    let output = String(decoding: exit.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failed(output: output) }
    return output
  }
}

/// A process that is spoken to over pipes.
final class PipedProcess {
  private let process = Process()
  private let entry = Pipe()
  private let exit = Pipe()

  init(_ path: String, _ arguments: [String]) throws {
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardInput = entry
    process.standardOutput = exit
    try process.run()
  }

  func write(_ bytes: [UInt8]) throws {
    if !bytes.isEmpty { try entry.fileHandleForWriting.write(contentsOf: Data(bytes)) }
  }

  /// What has come, waiting for the first byte; empty at the end.
  func read() -> [UInt8] { [UInt8](exit.fileHandleForReading.availableData) }

  func end() {
    try? entry.fileHandleForWriting.close()
    process.terminate()
    process.waitUntilExit()
  }
}
