import MeshControl

/// What the demo shows: the figures, what has happened, what to type next.
struct DemoScreen {
  var settings: ControlPlaneSettings
  var programName: String
  var folder: String
  /// Where the second version of the catalog takes orders.
  var canarySettingsURL: String
  var frontURL: String
  /// Where the dashboard is, with its session; absent where none could be opened.
  var dashboardURL: String?
  /// Whether the other verbs must be told where the data are.
  var needsData: Bool
  /// The user's home; paths in it are shown with `~`, which every shell understands. Absent: they are shown whole.
  var home: String?

  /// The whole text for these rows of figures.
  func text(rows: [Value], notes: [String], width: Int?) -> String {
    var lines = ["A shop in the mesh: front → catalog, cart, payments. Try \(frontURL)"]
    if let dashboardURL { lines += ["Dashboard:", "  \(dashboardURL)"] }
    lines.append("")
    lines += table(rows).lines(maxWidth: width)
    lines.append("")
    lines += notes.suffix(2).map { "! \($0)" }
    if !notes.isEmpty { lines.append("") }
    return (lines + nextSteps).joined(separator: "\n") + "\n"
  }

  /// Services, and the two versions of the one that the canary is about.
  func table(_ rows: [Value]) -> Table {
    let shown = rows.filter { row in
      guard let name = row["name"]?.text, name != "traffic" else { return false }
      return row["kind"]?.text != "workload" || name.hasPrefix("\(DemoShop.canaryService)-")
    }
    var table = Table([
      Table.Column("NAME", minimumWidth: 18), Table.Column("MESHED", .right), Table.Column("SUCCESS", .right),
      Table.Column("RPS", .right), Table.Column("P50", .right), Table.Column("P99", .right),
    ])
    table.rows = StatTable.ordered(shown).map { row in
      [
        "\(row["kind"]?.text ?? "service")/\(row["name"]?.text ?? "")", StatTable.meshed(row),
        Figures.percent(row["successRate"]?.double), Figures.oneDecimal(row["rps"]?.double),
        Figures.milliseconds(row["p50Ms"]?.double), Figures.milliseconds(row["p99Ms"]?.double),
      ]
    }
    return table
  }

  /// The canary in five lines.
  var nextSteps: [String] {
    let apus = needsData ? "APUS_DATA=\(short(settings.folder.path)) \(programName)" : programName
    let folder = short(folder)
    return [
      "A canary, in another terminal (Ctrl-C here stops everything):",
      "  \(apus) apply -f \(folder)/canary.yaml",
      "  \(apus) stat service/catalog-v2 --watch",
      "  curl -X POST '\(canarySettingsURL)?error-percent=50'",
      "  \(apus) get httproute catalog -o yaml",
      "  \(apus) apply -f \(folder)/stable.yaml",
    ]
  }

  private func short(_ path: String) -> String {
    guard let home, !home.isEmpty, path.hasPrefix("\(home)/") else { return path }
    return "~" + path.dropFirst(home.count)
  }
}
