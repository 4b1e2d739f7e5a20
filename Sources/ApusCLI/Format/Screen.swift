/// Shows a text again and again in one place: on a terminal without flicker, elsewhere one after the other.
struct Screen {
  private let context: CLIContext
  private var shownCount = 0

  init(_ context: CLIContext) {
    self.context = context
  }

  /// Puts `text` in the place of what was shown before; lines that do not fit the terminal are left out.
  mutating func show(_ text: String) {
    defer { shownCount += 1 }
    guard let size = context.terminalSize() else {
      context.output.write((shownCount == 0 ? "" : "\n") + text)
      return
    }
    var frame = shownCount == 0 ? "\u{1B}[2J\u{1B}[H" : "\u{1B}[H"
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    // One write for each frame: old text is replaced line by line, and only what is left over is cleared.
    var rowsLeft = size.rows - 1
    for line in lines {
      let rows = max(1, (line.count + size.columns - 1) / size.columns)
      guard rows <= rowsLeft else { break }
      rowsLeft -= rows
      // Behind a line that fills its last row the cursor still stands on it: clearing would take its last letter.
      let isFull = !line.isEmpty && line.count % size.columns == 0
      frame += line + (isFull ? "\n" : "\u{1B}[K\n")
    }
    context.output.write(frame + "\u{1B}[J")
  }
}
