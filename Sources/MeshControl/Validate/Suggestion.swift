/// Finds what was probably meant by a word that is not known.
package enum Suggestion {
  /// The known word nearest to `word`, if it is near enough to be a slip of the pen: an edit distance of at most a
  /// third of the length, letters' case left out.
  package static func nearest(to word: String, among known: [String]) -> String? {
    // A word of more than 64 bytes is no slip.
    let letters = Array(word.lowercased().utf8)
    guard letters.count <= 64 else { return nil }
    let allowed = max(1, letters.count / 3)
    var best: (word: String, distance: Int)?
    for candidate in known {
      let other = Array(candidate.lowercased().utf8)
      guard abs(other.count - letters.count) <= allowed else { continue }
      let distance = distance(letters, other)
      if distance <= allowed, distance < best?.distance ?? Int.max {
        best = (candidate, distance)
      }
    }
    return best?.word
  }

  /// `; did you mean "x"?`, or the whole list where nothing is near and the list is short.
  package static func hint(for word: String, among known: [String]) -> String {
    if let nearest = nearest(to: word, among: known) {
      return "did you mean \"\(nearest)\"?"
    }
    return "use one of \(known.sorted().joined(separator: ", "))"
  }

  /// Edit distance in which two neighbours exchanged count as one edit.
  private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: right.count + 1)
    var previous = Array(0...right.count)
    for (row, leftByte) in left.enumerated() {
      var current = [row + 1]
      current.reserveCapacity(right.count + 1)
      for (column, rightByte) in right.enumerated() {
        var cost = min(previous[column + 1] + 1, current[column] + 1)
        cost = min(cost, previous[column] + (leftByte == rightByte ? 0 : 1))
        if row > 0, column > 0, leftByte == right[column - 1], left[row - 1] == rightByte {
          cost = min(cost, beforePrevious[column - 1] + 1)
        }
        current.append(cost)
      }
      beforePrevious = previous
      previous = current
    }
    return previous[right.count]
  }
}
