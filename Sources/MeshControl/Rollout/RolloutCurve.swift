extension RolloutStatus {
  /// How the evidence and the candidate's share have moved since the release began: for people, who may come to look when it
  /// is half over. A bounded number of looks; of a long release they lie further apart.
  package struct Curve: FieldObject, Equatable {
    /// Looks that are kept; when there are more, every other one goes.
    static let capacity = 60
    /// Checks that are told apart.
    static let maxChecks = 8
    private static let firstSpacing = 1_000

    /// Which release of the rollout it is about; 0: there was none.
    package var release = 0
    /// Names of the checks, with their rules (`latency of checkout`), in the order of `Point.progress`.
    package var checks: [String] = []
    /// Milliseconds between two looks that are kept, unless the share changes.
    package var spacing = Curve.firstSpacing
    /// Oldest first.
    package var points: [Point] = []

    package init() {}

    package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
      visitor.field("release", &release)
      visitor.field("checks", &checks)
      visitor.field("spacing", &spacing)
      visitor.field("points", &points)
    }

    /// One look.
    package struct Point: FieldObject, Equatable {
      /// Milliseconds since 1970.
      package var at = 0
      /// The candidate's share, per cent.
      package var weight = 0
      /// As `CheckState.progress` has it, by `Curve.checks`; a check that came later is missing at the end.
      package var progress: [Int] = []

      package init() {}

      package mutating func fields<Visitor: FieldVisitor>(_ visitor: inout Visitor) {
        visitor.field("at", &at)
        visitor.field("weight", &weight)
        visitor.field("progress", &progress)
      }
    }

    /// Keeps where a release stands.
    ///
    /// - Parameter milliseconds: since 1970.
    mutating func note(release: Int, _ states: [CheckState], weight: Int, at milliseconds: Int64) {
      if release != self.release {
        self = Curve()
        self.release = release
      }
      var progress: [Int] = checks.map { _ in 0 }
      for state in states {
        let name = state.rule.isEmpty ? state.name : "\(state.name) of \(state.rule)"
        if let index = checks.firstIndex(of: name) {
          progress[index] = state.progress
        } else if checks.count < Self.maxChecks {
          checks.append(name)
          progress.append(state.progress)
        }
      }
      var point = Point()
      // Clocks may be set back.
      point.at = max(Int(milliseconds), points.last?.at ?? 0)
      point.weight = weight
      point.progress = progress
      if let last = points.last, last.weight == weight, point.at - last.at < spacing { return }
      points.append(point)
      if points.count > Self.capacity {
        points = points.indices.filter { $0 % 2 == 0 }.map { points[$0] }
        let mean = (point.at - (points.first?.at ?? 0)) / max(1, points.count - 1)
        spacing = max(spacing * 2, mean)
      }
    }
  }
}
