import MeshControl

/// A release in a terminal of 80 by 24: who has which share, where it stands, how it is judged, what happened.
struct RolloutPicture {
  private let view: RolloutView
  private let now: Timestamp
  private let width: Int

  /// Rows that the checks and the events may take.
  private static let checkRows = 6
  private static let eventRows = 5
  /// Rows of the terminal but for the one of the cursor.
  private static let rows = 23

  init(_ view: RolloutView, now: Timestamp, width: Int) {
    self.view = view
    self.now = now
    self.width = max(40, width)
  }

  var text: String {
    let fixed = heading + versions + steps + checks
    return (fixed + events(lines: Self.rows - fixed.count)).map { cut($0) }.joined(separator: "\n") + "\n"
  }

  private func cut(_ line: String) -> String {
    line.count <= width ? line : String(line.prefix(width - 1)) + "…"
  }

  private var heading: [String] {
    let change = view.release == nil ? view.stable : "\(view.stable) → \(view.candidate ?? "")"
    var state = "\(view.phase) (\(view.status["reason"]?.text ?? Figures.none))"
    if let start = view.release?["startedAt"]?.int, start > 0 {
      state += ", for \(Figures.age(seconds: now.secondsSinceEpoch - Int64(start / 1000)))"
    }
    // What to do stands at the end of the message, so that it is wrapped and never cut.
    let message = wrap(view.status["message"]?.text ?? "waits for the control plane")
    return ["\(view.name)  \(view.strategy)  \(change)", state] + message + [""]
  }

  /// A text in lines of the width, broken between words.
  /// - Parameter head: what stands before the text; further lines begin below its end.
  private func wrap(_ text: String, after head: String = "") -> [String] {
    let margin = String(repeating: " ", count: head.count)
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty, head.count + line.count + 1 + word.count > width {
        lines.append((lines.isEmpty ? head : margin) + line)
        line = ""
      }
      line += line.isEmpty ? String(word) : " " + word
    }
    return lines + [(lines.isEmpty ? head : margin) + line]
  }

  private var versions: [String] {
    let rows = view.status["versions"]?.elements ?? []
    guard !rows.isEmpty else { return [] }
    let longest = rows.map { ($0["version"]?.text ?? "").count }.max() ?? 0
    let lines = rows.map { row in
      let weight = row["weight"]?.int ?? 0
      let name = row["version"]?.text ?? ""
      let requests = row["requests"]?.double ?? 0
      let success = requests > 0 ? 1 - (row["failures"]?.double ?? 0) / requests : nil
      // Nothing was counted yet: that is not the same as no traffic.
      let rate = requests > 0 ? Figures.oneDecimal(row["requestsPerSecond"]?.double) : Figures.none
      let padding = String(repeating: " ", count: longest - name.count)
      return "\(pad(row["role"]?.text ?? "", 9))  \(name)\(padding)  \(Self.bar(weight, of: 20))"
        + " \(right("\(weight)%", 4)) \(right(rate, 6))/s"
        + " \(right(Figures.percent(success), 7))  p95 \(Figures.milliseconds(row["p95Ms"]?.double))"
        + "  \(row["ready"]?.scalarText ?? "0") up"
    }
    // Where somebody else writes the route, its shares are not the rollout's.
    let isForeign = ["RouteEdited", "RouteOwned", "RouteDeleted"].contains(view.status["reason"]?.text ?? "")
    return (isForeign ? ["as the rollout last wrote it:"] : []) + lines + [""]
  }

  private var steps: [String] {
    guard let release = view.release, let spec = view.spec else { return [] }
    let plan = RolloutPlan(spec)
    let current = (release["startedAt"]?.int ?? 0) > 0 ? release["step"]?.int ?? 0 : -1
    var words = plan.steps.enumerated().map { index, step in
      "\(index < current ? "✓" : index == current ? "▶" : "·") \(step.name)"
    }
    if plan.ending == .promote { words.append("· promoted") }
    return ["steps  " + words.joined(separator: "  "), ""]
  }

  private var checks: [String] {
    let rows = (view.status["checks"]?.elements ?? []).sorted { Self.rank($0) < Self.rank($1) }
    guard !rows.isEmpty else { return [] }
    var table = Table([
      Table.Column("CHECK", minimumWidth: 12), Table.Column("RULE", minimumWidth: 4), Table.Column("STABLE", .right),
      Table.Column("CANDIDATE", .right), Table.Column("LIMIT", minimumWidth: 8), Table.Column("EVIDENCE"),
      Table.Column("VERDICT"),
    ])
    table.rows = rows.prefix(Self.checkRows).map { row in
      [
        row["name"]?.text ?? "", row["rule"]?.text.flatMap { $0.isEmpty ? nil : $0 } ?? "all",
        Self.figure(row["stableValue"], row), Self.figure(row["candidateValue"], row), row["limit"]?.text ?? "",
        Self.evidence(row["progress"]?.int ?? 0), row["verdict"]?.text ?? "",
      ]
    }
    let left = rows.count - Self.checkRows
    return table.lines(maxWidth: width) + (left > 0 ? ["  and \(left) more"] : []) + [""]
  }

  /// What has failed first, then what holds for all requests.
  private static func rank(_ row: Value) -> Int {
    let verdict = row["verdict"]?.text == "Failed" ? 0 : 10
    let progress = (row["progress"]?.int ?? 0) < -30 ? 0 : 2
    return verdict + progress + ((row["rule"]?.text ?? "").isEmpty ? 0 : 1)
  }

  private static func figure(_ value: Value?, _ row: Value) -> String {
    switch row["name"]?.text {
    case ReleaseJudge.successName: Figures.percent(value?.double.map { $0 / 100 })
    case ReleaseJudge.latencyName: Figures.milliseconds(value?.double)
    default: Figures.oneDecimal(value?.double)
    }
  }

  /// From `against` to `for`, with where the evidence has come to: `----|##--`.
  private static func evidence(_ progress: Int) -> String {
    let count = min(4, (abs(progress) + 24) / 25)
    let marks = String(repeating: progress < 0 ? "!" : "#", count: count)
    let rest = String(repeating: "-", count: 4 - count)
    return progress < 0 ? "\(rest)\(marks)|----" : "----|\(marks)\(rest)"
  }

  /// The newest events that have room in so many lines; at least the last one.
  private func events(lines room: Int) -> [String] {
    var lines: [String] = []
    for event in (view.status["events"]?.elements ?? []).suffix(Self.eventRows).reversed() {
      let age = Figures.age(seconds: now.secondsSinceEpoch - Int64((event["at"]?.int ?? 0) / 1000))
      let told = wrap(event["text"]?.text ?? "", after: "\(right(age, 6)) ago  ")
      guard lines.isEmpty || lines.count + told.count <= room else { break }
      lines = told + lines
    }
    return lines
  }

  private static func bar(_ percent: Int, of length: Int) -> String {
    let filled = min(length, max(percent > 0 ? 1 : 0, percent * length / 100))
    return String(repeating: "█", count: filled) + String(repeating: "░", count: length - filled)
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
