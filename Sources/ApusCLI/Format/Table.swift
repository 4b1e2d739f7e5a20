/// Columns of text, as wide as their content, without trailing blanks. With a bound, the widest columns that may shrink
/// are cut until a line fits; `…` says so. Where that is not enough the last columns are left out, which a
/// `…` after the titles says, and at last the first ones are cut too: a row is one line.
package struct Table: Sendable, Equatable {
  package enum Alignment: Sendable {
    case left, right
  }

  package struct Column: Sendable, Equatable {
    package var title: String
    package var alignment: Alignment
    /// Columns that it may not be cut below; absent: it is never cut.
    package var minimumWidth: Int?

    package init(_ title: String, _ alignment: Alignment = .left, minimumWidth: Int? = nil) {
      self.title = title
      self.alignment = alignment
      self.minimumWidth = minimumWidth
    }
  }

  /// Between two columns.
  static let gap = 2

  package var columns: [Column]
  package var rows: [[String]] = []

  package init(_ columns: [Column]) {
    self.columns = columns
  }

  /// The lines, title first.
  /// - Parameter maxWidth: columns that a line may take; absent: as many as there are.
  package func lines(maxWidth: Int? = nil) -> [String] {
    let widths = fit(maxWidth)
    let isWhole = widths.count == columns.count
    return ([columns.map(\.title)] + rows).enumerated().map { number, cells in
      var line = ""
      for (index, width) in widths.enumerated() {
        let text = Self.cut(index < cells.count ? cells[index] : "", to: width)
        let padding = String(repeating: " ", count: width - text.count)
        line += columns[index].alignment == .left ? text + padding : padding + text
        if index + 1 < widths.count { line += String(repeating: " ", count: Self.gap) }
      }
      if !isWhole, number == 0 { return line + Self.omission }
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  /// The lines as one text.
  package func text(maxWidth: Int? = nil) -> String {
    lines(maxWidth: maxWidth).joined(separator: "\n") + "\n"
  }

  private func fit(_ maxWidth: Int?) -> [Int] {
    var widths = columns.indices.map { index in
      rows.reduce(columns[index].title.count) { max($0, index < $1.count ? $1[index].count : 0) }
    }
    guard let maxWidth else { return widths }
    var room = maxWidth
    shrink(&widths, to: room) { columns[$0].minimumWidth }
    while widths.count > 1, Self.sum(widths) > room {
      widths.removeLast()
      room = maxWidth - Self.omission.count
    }
    shrink(&widths, to: room) { _ in 1 }
    return widths
  }

  /// Narrows the widest columns that are wider than `minimum` says, until all fit; nil: the column stays.
  private func shrink(_ widths: inout [Int], to room: Int, minimum: (Int) -> Int?) {
    while Self.sum(widths) > room {
      let shrinkable = widths.indices.filter { index in minimum(index).map { widths[index] > max($0, 1) } ?? false }
      guard let widest = shrinkable.max(by: { widths[$0] < widths[$1] }) else { return }
      widths[widest] -= 1
    }
  }

  /// Columns that a line takes.
  private static func sum(_ widths: [Int]) -> Int { widths.reduce(gap * max(0, widths.count - 1), +) }

  /// Says after the titles that there are more columns.
  private static let omission = " …"

  /// Of `namespace/name` the name tells more, and of a name its end: such text is cut in its first half.
  private static func cut(_ text: String, to width: Int) -> String {
    if text.count <= width { return text }
    let room = max(0, width - 1)
    guard room >= 8, text.dropFirst().contains("/") else { return String(text.prefix(room)) + "…" }
    return String(text.prefix(room / 4)) + "…" + String(text.suffix(room - room / 4))
  }
}
