import MeshControl
import Testing

/// What is kept of the looks at a release, for people who come to see it later.
@Suite struct CurveTests {
  static let canary = """
    {"service": "shop", "version": "v1", "progressDeadline": "23h",
     "canary": {"steps": [{"weight": 10, "pause": "20h"}, {"weight": 50, "pause": "4s"}]}}
    """

  /// What is drawn of the evidence says the same as the verdict.
  static func demandThatEndsAreVerdicts(_ checks: [CheckState]) {
    for check in checks {
      #expect((check.verdict == .passed) == (check.progress == 100))
      #expect((check.verdict == .failed) == (check.progress == -100))
    }
  }

  @Test func `it begins with the release, follows every change of the share, and stays within its bound`() {
    var mesh = MachineTests.started(Self.canary)
    let begun = mesh.status?.curve.points.first
    #expect(mesh.status?.curve.release == 1 && begun?.at == Int(mesh.now))
    for _ in 0..<2_000 {
      let seen = MachineTests.good(mesh, requests: 40)
      mesh.look(after: 2, seen)
      let curve = mesh.status?.curve ?? .init()
      Self.demandThatEndsAreVerdicts(mesh.status?.checks ?? [])
      #expect((1...60).contains(curve.points.count) && curve.points.first == begun)
      // What is kept last lies no further back than what lies between two looks that are kept.
      #expect(Int(mesh.now) - (curve.points.last?.at ?? 0) <= curve.spacing)
      #expect(zip(curve.points, curve.points.dropFirst()).allSatisfy { $0.at < $1.at })
    }
    let curve = mesh.status?.curve ?? .init()
    #expect(curve.spacing >= 64_000 && curve.points.count >= 30)
    #expect(curve.checks.contains("success-rate"))
    #expect(curve.points.allSatisfy { $0.progress.count <= curve.checks.count })
    #expect(curve.points.last?.progress.contains { $0 > 0 } ?? false)
  }

  @Test func `a release that is taken back ends it, and the next one begins anew`() {
    var mesh = MachineTests.started(Self.canary)
    for _ in 0..<40 where mesh.status?.phase == .progressing {
      let seen = MachineTests.bad(mesh)
      mesh.look(after: 2, seen)
      Self.demandThatEndsAreVerdicts(mesh.status?.checks ?? [])
    }
    #expect(mesh.status?.phase == .rolledBack)
    #expect(mesh.status?.curve.points.last?.weight == 0)
    let kept = mesh.status?.curve
    for _ in 0..<5 { mesh.look() }
    #expect(mesh.status?.curve == kept)
    mesh.release("v3")
    mesh.world.ready["v3"] = 2
    for _ in 0..<3 { mesh.look() }
    #expect(mesh.status?.curve.release == 2 && (mesh.status?.curve.points.count ?? 0) < 5)
  }

  @Test func `a clock that is set back does not turn it round`() {
    var mesh = MachineTests.started(Self.canary)
    mesh.look(after: 100)
    mesh.look(after: -90)
    mesh.look(after: 300)
    let times = mesh.status?.curve.points.map(\.at) ?? []
    #expect(times == times.sorted() && times.count >= 3)
  }
}
