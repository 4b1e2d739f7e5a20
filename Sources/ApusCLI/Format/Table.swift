/// Columns of text, as wide as their content, without trailing blanks. With a bound, the widest columns that may shrink
/// are cut until a line fits; what was cut ends in `…`.
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
    return ([columns.map(\.title)] + rows).map { cells in
      var line = ""
      for (index, column) in columns.enumerated() {
        let text = Self.cut(index < cells.count ? cells[index] : "", to: widths[index])
        let padding = String(repeating: " ", count: widths[index] - text.count)
        line += column.alignment == .left ? text + padding : padding + text
        if index + 1 < columns.count { line += String(repeating: " ", count: Self.gap) }
      }
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
    let gaps = Self.gap * max(0, columns.count - 1)
    while widths.reduce(gaps, +) > maxWidth {
      let shrinkable = columns.indices.filter { index in
        columns[index].minimumWidth.map { widths[index] > max($0, 1) } ?? false
      }
      guard let widest = shrinkable.max(by: { widths[$0] < widths[$1] }) else { break }
      widths[widest] -= 1
    }
    return widths
  }

  private static func cut(_ text: String, to width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(0, width - 1))) + "…"
  }
}
