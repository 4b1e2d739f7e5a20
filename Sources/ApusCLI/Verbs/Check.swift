import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus check`: looks at the machine, the control plane, the proxies and the configuration.
struct Check: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Look for what does not work, and say how to mend it.",
    usage: "apus check [--proxy <proxy>] [-o <format>] [<options>]",
    discussion: """
      The exit status is 0 where nothing has failed; warnings do not count. It is 5 where the control plane does not \
      answer.

      EXAMPLES
        apus check
        apus check --proxy front
        apus check -o json
      """)

  @Option(help: ArgumentHelp("Look at this proxy alone, and ask it too.", valueName: "proxy"))
  var proxy: String?

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var report = CheckReport()
    if let proxy {
      var client = try connection.client(in: context, timeout: .seconds(5))
      report.proxy(try ProxyConfigVerb.proxy(named: proxy, &client), &client, now: context.now())
      context.write(report.value, as: format.output) { report.text(colour: context.allowsColour) }
      return report.hasFailure ? .failed : .success
    }
    report.machine(folder: connection.dataFolder(in: context), context: context)
    var client = try connection.client(in: context, timeout: .seconds(5))
    let isReachable = report.controlPlane(&client)
    if isReachable {
      report.proxies(&client, now: context.now())
      report.configuration(&client)
    }
    context.write(report.value, as: format.output) { report.text(colour: context.allowsColour) }
    if !isReachable { return .unreachable }
    return report.hasFailure ? .failed : .success
  }
}

/// What `check` found.
struct CheckReport {
  enum Outcome: String {
    case ok, warning, failed
  }

  struct Finding: Equatable {
    var outcome: Outcome
    var subject: String
    var message: String
    /// How to mend it; present for everything that is not ok.
    var hint: String?
  }

  private(set) var findings: [Finding] = []

  var hasFailure: Bool { findings.contains { $0.outcome == .failed } }

  mutating func ok(_ subject: String, _ message: String) {
    findings.append(Finding(outcome: .ok, subject: subject, message: message, hint: nil))
  }

  mutating func warning(_ subject: String, _ message: String, hint: String) {
    findings.append(Finding(outcome: .warning, subject: subject, message: message, hint: hint))
  }

  mutating func failed(_ subject: String, _ message: String, hint: String) {
    findings.append(Finding(outcome: .failed, subject: subject, message: message, hint: hint))
  }

  var value: Value {
    let items = findings.map { finding in
      Value.object([
        .init("outcome", .string(finding.outcome.rawValue)), .init("subject", .string(finding.subject)),
        .init("message", .string(finding.message)), .init("hint", finding.hint.map(Value.string) ?? .null),
      ])
    }
    return .object([.init("passed", .boolean(!hasFailure)), .init("findings", .list(items))])
  }

  func text(colour: Bool) -> String {
    var text = ""
    for finding in findings {
      text += "\(Self.mark(finding.outcome, colour)) \(finding.subject): \(finding.message)\n"
      if let hint = finding.hint { text += "     hint: \(hint)\n" }
    }
    let failures = findings.count { $0.outcome == .failed }
    let warnings = findings.count { $0.outcome == .warning }
    return text + "\n\(failures) failed, \(warnings) to look at, \(findings.count - failures - warnings) ok\n"
  }

  private static func mark(_ outcome: Outcome, _ colour: Bool) -> String {
    let (word, code) =
      switch outcome {
      case .ok: ("ok  ", "32")
      case .warning: ("warn", "33")
      case .failed: ("FAIL", "31")
      }
    return colour ? "\u{1B}[\(code)m\(word)\u{1B}[0m" : word
  }
}
