import MeshPolicy
import Testing

@Suite struct ConsistentHashTests {
  enum Kind: CaseIterable { case ring, maglev }

  /// Something that picks by key over endpoints named by their numbers.
  private final class Table {
    let fixture: EndpointFixture
    private let ring: HashRing?
    private let maglev: MaglevTable?

    init(_ kind: Kind, names: [Int], weights: [UInt32]) {
      fixture = EndpointFixture(weights: weights)
      let endpoints = zip(names, weights).map { HashedEndpoint(key: KeyHash.of("10.0.0.\($0):80"), weight: $1) }
      ring = kind == .ring ? HashRing(endpoints) : nil
      maglev = kind == .maglev ? MaglevTable(endpoints) : nil
    }

    func pick(_ hash: UInt64, tried: TriedEndpoints = .init()) -> Int32 {
      if let ring { return ring.view.pick(hash, in: fixture.set, tried: tried) }
      return maglev?.view.pick(hash, in: fixture.set, tried: tried) ?? -1
    }
  }

  private static let keys = (0..<40_000).map { KeyHash.of("user-\($0)") }

  @Test(arguments: Kind.allCases) func sharesFollowTheWeights(_ kind: Kind) {
    let weights: [UInt32] = [1, 1, 2, 4, 0]
    let table = Table(kind, names: [1, 2, 3, 4, 5], weights: weights)
    var counts = [0, 0, 0, 0, 0]
    for key in Self.keys { counts[Int(table.pick(key))] += 1 }
    for (count, weight) in zip(counts, weights) {
      let expected = Double(weight) / 8 * Double(Self.keys.count)
      #expect(abs(Double(count) - expected) <= expected * 0.08, "\(kind): \(counts)")
    }
  }

  @Test(arguments: Kind.allCases) func littleMovesWhenAnEndpointComesOrGoes(_ kind: Kind) {
    let ten = Table(kind, names: Array(0..<10), weights: Array(repeating: 1, count: 10))
    let nine = Table(kind, names: Array(0..<9), weights: Array(repeating: 1, count: 9))
    var moved = 0
    var movedNeedlessly = 0
    for key in Self.keys {
      let (before, after) = (ten.pick(key), nine.pick(key))
      if before != after { moved += 1 }
      if before != after, before != 9 { movedNeedlessly += 1 }
    }
    let share = Double(moved) / Double(Self.keys.count)
    #expect(share > 0.08 && share < (kind == .ring ? 0.12 : 0.16), "\(kind): \(share)")
    // The ring moves nothing but the keys of the one that went; Maglev a few more.
    #expect(movedNeedlessly <= (kind == .ring ? 0 : Self.keys.count / 20), "\(kind): \(movedNeedlessly)")
  }

  @Test(arguments: Kind.allCases) func theOrderOfTheEndpointsDoesNotMatter(_ kind: Kind) {
    let names = Array(0..<7)
    let forward = Table(kind, names: names, weights: Array(repeating: 1, count: 7))
    let backward = Table(kind, names: names.reversed(), weights: Array(repeating: 1, count: 7))
    for key in Self.keys.prefix(5_000) { #expect(forward.pick(key) == 6 - backward.pick(key)) }
  }

  @Test(arguments: Kind.allCases) func keysOfAnEndpointThatIsOutSpreadAndTheOthersStay(_ kind: Kind) {
    let table = Table(kind, names: Array(0..<6), weights: Array(repeating: 1, count: 6))
    let before = Self.keys.map { table.pick($0) }
    table.fixture.set.set(.ejected, true, at: 2)
    var counts = [0, 0, 0, 0, 0, 0]
    for (key, old) in zip(Self.keys, before) {
      let new = table.pick(key)
      if old == 2 { counts[Int(new)] += 1 } else { #expect(new == old) }
    }
    let orphans = counts.reduce(0, +)
    #expect(counts[2] == 0 && orphans > 5_000)
    for index in [0, 1, 3, 4, 5] { #expect(counts[index] > orphans / 10, "\(counts)") }
  }

  @Test(arguments: Kind.allCases) func aTriedEndpointIsUsedOnlyWhereThereIsNoOther(_ kind: Kind) {
    let table = Table(kind, names: [1, 2, 3], weights: [1, 1, 1])
    for key in Self.keys.prefix(500) {
      var tried = TriedEndpoints()
      let first = table.pick(key)
      tried.insert(first)
      let second = table.pick(key, tried: tried)
      tried.insert(second)
      let third = table.pick(key, tried: tried)
      #expect(Set([first, second, third]) == [0, 1, 2])
      tried.insert(third)
      #expect(table.pick(key, tried: tried) == first)
    }
    let empty = Table(kind, names: [], weights: [])
    #expect(empty.pick(1) == -1)
    let weightless = Table(kind, names: [1], weights: [0])
    #expect(weightless.pick(1) == -1)
  }
}
