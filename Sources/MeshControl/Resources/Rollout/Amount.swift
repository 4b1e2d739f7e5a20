/// A number with or without decimals, as people write percentages and ratios.
package struct Amount: FieldValue, Sendable, Hashable {
  /// Finite.
  package var value: Double

  package init(_ value: Double) {
    self.value = value.isFinite ? value : 0
  }

  package static func read(_ value: Value, path: String, into report: ViolationReport) -> Amount? {
    switch value.content {
    case .integer(let number): return Amount(Double(number))
    case .number(let number): return Amount(number)
    case .string(let text):
      let mend = Double(text) == nil ? "write a number such as 1.5" : "write \(text) without quotes"
      report.add(.typeInvalid, at: path, "is a string where a number is due; \(mend)", position: value.position)
    default:
      report.add(
        .typeInvalid, at: path, "is \(value.typeName) where a number is due; write a number such as 1.5",
        position: value.position)
    }
    return nil
  }

  /// Whole numbers are written without decimals.
  package var written: Value? {
    if let whole = Int(exactly: value) { return .integer(whole) }
    return Value(.number(value))
  }

  /// Tells where the number is out of bounds.
  func checkBounds(_ bounds: ClosedRange<Double>, path: String, into report: ViolationReport) {
    guard !bounds.contains(value) else { return }
    func text(_ number: Double) -> String { Int(exactly: number).map { "\($0)" } ?? "\(number)" }
    report.add(
      .invalid, at: path,
      "\(text(value)) is out of bounds; use a number from \(text(bounds.lowerBound)) to \(text(bounds.upperBound))")
  }
}
