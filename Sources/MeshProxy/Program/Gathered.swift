/// Results from all workers, gathered on the side thread.
final class Gathered<Result: Sendable>: @unchecked Sendable {
  // Unchecked: created and changed on the side thread only.
  private var results: [Result] = []
  private let expected: Int
  private let done: ([Result]) -> Void

  init(expected: Int, done: @escaping ([Result]) -> Void) {
    self.expected = expected
    self.done = done
  }

  func add(_ result: Result) {
    results.append(result)
    if results.count == expected { done(results) }
  }
}
