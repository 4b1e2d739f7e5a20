import ApusCLI
import ApusHTTP
import Foundation
import MeshControl
import Testing

/// `apus run` as a process, with a control plane and a sidecar that only act their parts.
@Suite(.serialized) struct RunTests {
  /// Notes its arguments and its life, and reports ports that nobody listens on.
  static let sidecar = """
    #!/bin/sh
    echo "$@" >> "$STAGE/arguments"
    echo $$ > "$STAGE/sidecar.pid"
    trap 'echo sidecar-told >> "$STAGE/events"; exit 0' TERM
    echo sidecar-up >> "$STAGE/events"
    echo '{"ready":true,"inbound":4001,"forward":4002,"admin":4003}' >&3
    while :; do sleep 0.05 & wait $!; done
    """

  private struct Stage {
    let folder: TemporaryFolder
    let api: FakeAPI

    init(sidecar: String = RunTests.sidecar, tokenEnd: String = "2030-01-01T00:00:00Z") throws {
      folder = try TemporaryFolder()
      try folder.write("apus-proxy", sidecar + "\n", mode: 0o755)
      try folder.write("data/api-token", "secret", mode: 0o600)
      api = try FakeAPI([
        "POST /api/v1/namespaces/default/services": .json("{}", status: 201),
        "POST /apis/apus.dev/v1/namespaces/default/serviceaccounts/hello/token": .json(
          #"{"token":"join-me","expiresAt":"\#(tokenEnd)"}"#),
      ])
    }

    func environment(_ more: [String: String] = [:]) -> [String: String] {
      let own = [
        "APUS_PROXY": "\(folder.path)/apus-proxy", "APUS_DATA": "\(folder.path)/data", "STAGE": folder.path,
        "APUS_API": "127.0.0.1:\(api.port)", "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder.path,
      ]
      return own.merging(more) { _, given in given }
    }

    /// Lines that the actors noted.
    var events: [String] { lines("events") }

    func lines(_ name: String) -> [String] {
      let text = try? String(contentsOfFile: "\(folder.path)/\(name)", encoding: .utf8)
      return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Waits until a file of the stage is there, at most five seconds.
    func wait(for name: String) async throws {
      for _ in 0..<250 where !FileManager.default.fileExists(atPath: "\(folder.path)/\(name)") {
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(FileManager.default.fileExists(atPath: "\(folder.path)/\(name)"), "\(name) never came")
    }
  }

  /// A started `apus run`.
  private final class Running {
    let process = Process()
    private let output = Pipe()
    private let errors = Pipe()

    init(_ stage: Stage, _ options: [String] = [], _ command: [String], environment: [String: String] = [:]) throws {
      process.executableURL = URL(fileURLWithPath: Program.apus)
      process.arguments = ["run", "--service", "hello"] + options + ["--"] + command
      process.environment = stage.environment(environment)
      process.standardOutput = output
      process.standardError = errors
      process.standardInput = FileHandle.nullDevice
      try process.run()
    }

    /// Waits for the end.
    func finish() -> Result {
      process.waitUntilExit()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      let told = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      return Result(status: process.terminationStatus, output: text, errors: told)
    }
  }

  @Test func theSidecarIsUpBeforeTheApplicationAndGoesAfterIt() throws {
    let stage = try Stage()
    let script = "echo application-up >> $STAGE/events; echo out; echo err >&2; exit 7"
    let result = try Running(stage, [], ["sh", "-c", script]).finish()
    #expect(result.status == 7)
    #expect(result.output == "out\n")
    #expect(result.errors == "err\n")
    #expect(stage.events == ["sidecar-up", "application-up", "sidecar-told"])
  }

  @Test func theApplicationIsToldItsPortAndTheWayIntoTheMesh() throws {
    let stage = try Stage()
    let result = try Running(
      stage, ["--port", "8123", "--version", "v2"], ["env"], environment: ["NO_PROXY": "*"]
    ).finish()
    let variables = Set(result.output.split(separator: "\n").map(String.init))
    for variable in [
      "PORT=8123", "HTTP_PROXY=http://127.0.0.1:4002", "http_proxy=http://127.0.0.1:4002",
      "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1", "APUS_SERVICE=hello",
      "APUS_VERSION=v2", "APUS_NAMESPACE=default",
    ] {
      #expect(variables.contains(variable), "\(variable)")
    }
  }

  @Test func withoutAPortAFreeOneIsGiven() throws {
    let stage = try Stage()
    let result = try Running(stage, [], ["sh", "-c", "echo $PORT"]).finish()
    let port = Int(result.output.trimmingCharacters(in: .whitespacesAndNewlines))
    #expect(port.map { $0 > 1023 } == true, "\(result)")
  }

  @Test func theSidecarIsToldWhatItCarriesAndWhereItsConfigurationIs() throws {
    let stage = try Stage()
    let options = ["--port", "8123", "--version", "v2", "--upstream", "db:5432=15432", "--protocol", "tcp"]
    _ = try Running(stage, options, ["true"]).finish()
    let arguments = stage.lines("arguments").first ?? ""
    for text in [
      "--namespace default --service hello --account hello --workload hello-v2 --trust-domain cluster.local",
      "--version v2 --app-port 8123 --app-protocol tcp --inbound 127.0.0.1:0 --forward 127.0.0.1:0",
      "--upstream db:5432=15432 --admin 127.0.0.1:0",
      "--xds 127.0.0.1:15012 --xds-root \(stage.folder.path)/data/ca/root-cert.pem", "--ready-fd 3",
    ] {
      #expect(arguments.contains(text), "\(arguments)")
    }
    #expect(arguments.contains("--id hello-v2-"))
  }

  @Test func aServiceIsMadeWhereThereIsNone() throws {
    let stage = try Stage()
    _ = try Running(stage, ["--port", "8123"], ["true"]).finish()
    let made = stage.api.requests.first { $0.method == "POST" && $0.target.hasSuffix("/services") }
    let object = try JSONReader.read(Array((made?.body ?? "").utf8))
    #expect(object["metadata"]?["name"]?.text == "hello")
    #expect(object["metadata"]?["labels"]?["app.kubernetes.io/managed-by"]?.text == "apus-run")
    #expect(object["metadata"]?["annotations"] == nil)
    #expect(object["spec"]?["selector"]?["app"]?.text == "hello")
    #expect(object["spec"]?["ports"]?.elements?.first?["port"] == .integer(80))
  }

  @Test func aServiceThatIsThereStaysAsItIsAndWhomItDoesNotLetInIsTold() throws {
    let stage = try Stage()
    let path = "/apis/apus.dev/v1/namespaces/default/serviceaccounts/stranger/token"
    stage.api.set("POST \(path)", .json(#"{"token":"join-me","expiresAt":"2030-01-01T00:00:00Z"}"#))
    stage.api.set(
      "GET /api/v1/namespaces/default/services/hello",
      .json(
        #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"hello","namespace":"default"},"#
          + #""spec":{"selector":{"app":"hello"},"ports":[{"port":80}]}}"#))
    let own = try Running(stage, [], ["true"]).finish()
    #expect(own.status == 0 && !own.errors.contains("does not let in"))
    let other = try Running(stage, ["--account", "stranger"], ["true"]).finish()
    #expect(other.status == 0)
    #expect(other.errors.contains("service hello does not let in the account stranger"))
    #expect(!stage.api.requests.contains { $0.method == "POST" && $0.target.hasSuffix("/services") })
  }

  @Test func whatKilledRunsLeftBehindIsSweptAndNothingElse() throws {
    let folder = try TemporaryFolder()
    for name in ["alive", "failed", "killed", "old"] { try folder.write("proxies/\(name)/proxy.log", "words") }
    for name in ["alive", "killed"] { try folder.write("proxies/\(name)/lock", "") }
    let held = open("\(folder.path)/proxies/alive/lock", O_RDWR)
    defer { close(held) }
    #expect(flock(held, LOCK_EX | LOCK_NB) == 0)
    let now = Date()
    try FileManager.default.setAttributes(
      [.modificationDate: now.addingTimeInterval(-8 * 86_400)], ofItemAtPath: "\(folder.path)/proxies/old")
    DataFolder(path: folder.path).sweepProxyFolders(nowSeconds: Int64(now.timeIntervalSince1970))
    let left = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/proxies").sorted()
    #expect(left == ["alive", "failed"])
  }

  @Test func signalsReachTheApplicationAndItsStatusIsPassedOn() async throws {
    let stage = try Stage()
    let script =
      "trap 'echo got-usr1 >> $STAGE/events' USR1; trap 'exit 9' TERM; : > $STAGE/up; while :; do sleep 0.05; done"
    let running = try Running(stage, [], ["sh", "-c", script])
    try await stage.wait(for: "up")
    kill(running.process.processIdentifier, SIGUSR1)
    for _ in 0..<250 where !stage.events.contains("got-usr1") { try await Task.sleep(for: .milliseconds(20)) }
    kill(running.process.processIdentifier, SIGTERM)
    #expect(running.finish().status == 9)
    #expect(stage.events == ["sidecar-up", "got-usr1", "sidecar-told"])
  }

  @Test func anApplicationKilledByASignalIs128AndTheSignal() async throws {
    let stage = try Stage()
    let running = try Running(stage, [], ["sh", "-c", ": > $STAGE/up; exec sleep 30"])
    try await stage.wait(for: "up")
    kill(running.process.processIdentifier, SIGINT)
    #expect(running.finish().status == 130)
  }

  @Test func aSidecarThatDiesComesBackOnItsPortsAndTheApplicationLives() async throws {
    let stage = try Stage()
    let running = try Running(stage, [], ["sh", "-c", "echo $$ >> $STAGE/lives; exec sleep 30"])
    try await stage.wait(for: "lives")
    let first = Int32(stage.lines("sidecar.pid").first ?? "") ?? 0
    #expect(first > 0)
    kill(first, SIGKILL)
    for _ in 0..<250 where stage.lines("arguments").count < 2 { try await Task.sleep(for: .milliseconds(20)) }
    let second = stage.lines("arguments").last ?? ""
    #expect(second.contains("--inbound 127.0.0.1:4001 --forward 127.0.0.1:4002 --admin 127.0.0.1:4003"))
    #expect(stage.lines("lives").count == 1)
    kill(running.process.processIdentifier, SIGTERM)
    let result = running.finish()
    #expect(result.status == 143)
    #expect(result.errors.contains("started again"))
  }

  @Test func childrenDoNotOutliveAParentThatIsKilled() async throws {
    let stage = try Stage()
    let running = try Running(stage, [], ["sh", "-c", "echo $$ > $STAGE/application.pid; exec sleep 30"])
    try await stage.wait(for: "application.pid")
    let children = ["application.pid", "sidecar.pid"].compactMap { Int32(stage.lines($0).first ?? "") }
    #expect(children.count == 2)
    kill(running.process.processIdentifier, SIGKILL)
    running.process.waitUntilExit()
    for child in children {
      for _ in 0..<250 where kill(child, 0) == 0 { try await Task.sleep(for: .milliseconds(20)) }
      #expect(kill(child, 0) == -1, "process \(child) is still there")
    }
  }

  @Test func theTokenIsPrivateAndRenewedBeforeItsEnd() async throws {
    let end = Timestamp(secondsSinceEpoch: Int64(Date().timeIntervalSince1970) + 2).rfc3339
    let stage = try Stage(tokenEnd: end)
    let running = try Running(
      stage, [], ["sh", "-c", "ls -l $APUS_DATA/proxies/$APUS_WORKLOAD/token; : > $STAGE/up; exec sleep 30"])
    try await stage.wait(for: "up")
    for _ in 0..<250 where stage.api.requests.count(where: { $0.target.hasSuffix("/token") }) < 2 {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(stage.api.requests.count { $0.target.hasSuffix("/token") } >= 2)
    kill(running.process.processIdentifier, SIGTERM)
    #expect(running.finish().output.hasPrefix("-rw-------"))
  }

  @Test func aCommandThatIsNotThereIs127AndOneThatIsNoProgram126() throws {
    let stage = try Stage()
    #expect(try Running(stage, [], ["no-such-command"]).finish().status == 127)
    let text = try stage.folder.write("text", "hello\n")
    #expect(try Running(stage, [], [text]).finish().status == 126)
    let broken = try stage.folder.write("broken", "#!/nonexistent/interpreter\n", mode: 0o755)
    #expect(try Running(stage, [], [broken]).finish().status == 127)
  }

  @Test func aSidecarThatDoesNotStartIsToldWithItsOwnWords() throws {
    let stage = try Stage(sidecar: "#!/bin/sh\necho 'no certificate' >&2\nexit 3")
    let result = try Running(stage, [], ["sh", "-c", "echo application-up >> $STAGE/events"]).finish()
    #expect(result.status == 1)
    #expect(result.errors.contains("did not become ready: exit status 3"))
    #expect(result.errors.contains("no certificate"))
    #expect(stage.events.isEmpty)
  }

  @Test func withoutAControlPlaneNothingStarts() throws {
    let stage = try Stage()
    let port = try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: 0)).port
    let result = try Running(stage, [], ["true"], environment: ["APUS_API": "127.0.0.1:\(port)"]).finish()
    #expect(result.status == 5)
    #expect(result.errors.contains("apus up"))
    #expect(stage.events.isEmpty)
  }
}

/// The programs that are built beside the tests.
enum Program {
  static var apus: String { "\(folder)/apus" }
  static var demo: String { "\(folder)/apus-demo" }

  private static var folder: String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return (own as NSString).deletingLastPathComponent
  }
}
