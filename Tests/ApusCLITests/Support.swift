import ApusCLI
import ApusHTTP
import Foundation
import MeshControl
import Synchronization

/// Keeps what a verb wrote.
final class MemoryOutput: TextOutput {
  private let content = Mutex("")

  func write(_ text: String) {
    content.withLock { $0 += text }
  }

  var text: String { content.withLock { $0 } }
}

/// What a verb wrote and how it ended.
struct Result {
  var status: Int32
  var output: String
  var errors: String
}

/// A control plane of the tests: answers what it was told to and remembers what it was asked.
final class FakeAPI: Sendable {
  struct Request: Sendable, Equatable {
    var method: String
    var target: String
    var body: String
    var authorization: String?
  }

  let port: UInt16
  private let answers: Mutex<[String: HTTPResponse]>
  private let seen = Mutex<[Request]>([])

  /// - Parameter answers: by `METHOD /path`, with the query where it matters; all else is not found.
  init(_ answers: [String: HTTPResponse]) throws {
    self.answers = Mutex(answers)
    let listener = try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: 0))
    port = listener.port
    let box = ListenerBox(listener)
    DetachedThread.start { [self] in
      guard let listener = box.take() else { return }
      try? HTTPServer.serve(listener) { self.answer($0) }
    }
  }

  var requests: [Request] { seen.withLock { $0 } }

  func set(_ key: String, _ response: HTTPResponse) {
    answers.withLock { $0[key] = response }
  }

  private func answer(_ request: HTTPRequest) -> HTTPResponse {
    let noted = Request(
      method: request.method, target: request.target, body: String(decoding: request.body, as: UTF8.self),
      authorization: request.fields["authorization"])
    seen.withLock { $0.append(noted) }
    let exact = "\(request.method) \(request.target)"
    return answers.withLock { $0[exact] ?? $0["\(request.method) \(request.path)"] }
      ?? .status(404, reason: "NotFound", message: "\(request.path) is not there")
  }

  private final class ListenerBox: Sendable {
    private let content: Mutex<ListeningSocket?>

    init(_ listener: consuming sending ListeningSocket) {
      content = Mutex(listener)
    }

    func take() -> ListeningSocket? {
      content.withLock { $0.take() }
    }
  }
}

extension HTTPResponse {
  static func json(_ text: String, status: Int = 200) -> HTTPResponse {
    HTTPResponse(status: status, contentType: "application/json", text: text)
  }

  static func status(_ code: Int, reason: String, message: String, causes: String = "") -> HTTPResponse {
    .json(
      """
      {"kind":"Status","apiVersion":"v1","status":"Failure","reason":"\(reason)","message":"\(message)","code":\(code),
       "details":{"causes":[\(causes)]}}
      """, status: code)
  }
}

/// A folder that is gone when the test is.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  @discardableResult
  func write(_ name: String, _ text: String, mode: Int = 0o644) throws -> String {
    let file = "\(path)/\(name)"
    let folder = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
    return file
  }
}

/// Runs a verb in this process.
func apus(
  _ arguments: String..., environment: [String: String] = [:], input: String = "", columns: Int? = nil
) -> Result {
  apus(arguments, environment: environment, input: input, columns: columns)
}

func apus(
  _ arguments: [String], environment: [String: String] = [:], input: String = "", columns: Int? = nil
) -> Result {
  let output = MemoryOutput()
  let errors = MemoryOutput()
  let context = CLIContext(
    environment: environment.merging(["HOME": "/nonexistent"]) { given, _ in given }, output: output, errors: errors,
    terminalSize: { columns.map { TerminalSize(columns: $0, rows: 24) } }, input: { Array(input.utf8) },
    now: { Timestamp(secondsSinceEpoch: 1_800_000_000) }, programName: "apus", programFolder: "/nonexistent")
  switch CommandLineEntry.start(arguments: arguments, context: context) {
  case .exit(let status): return Result(status: status, output: output.text, errors: errors.text)
  case .controlPlane(let settings): return Result(status: -1, output: "\(settings)", errors: errors.text)
  }
}
