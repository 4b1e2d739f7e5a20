import Glibc
import MeshModel
import MeshPolicy

// What finding a request's rule costs: nanoseconds for one look-up in tables of 10 to 10,000 rules, in the mix that a
// shared gateway has (a third exact paths, half prefixes of one to four elements, the rest prefixes with a header), with
// heads drawn at random out of 4,096; and in a table whose rules are told apart by a header's value alone.

/// A head in memory of its own, which is never freed.
func head(_ path: String, _ headers: [(String, String)]) -> MessageHead {
  var text = Array(path.utf8)
  let pathRange = ByteRange(offset: 0, length: UInt32(text.count))
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: headers.count + 1)
  for (index, header) in headers.enumerated() {
    let name = ByteRange(offset: UInt32(text.count), length: UInt32(header.0.utf8.count))
    text += header.0.utf8
    let value = ByteRange(offset: UInt32(text.count), length: UInt32(header.1.utf8.count))
    text += header.1.utf8
    let known = KnownHeader.allCases.first { $0.name.description == header.0 } ?? .other
    (fields + index).initialize(to: FieldRef(name: name, value: value, known: known))
  }
  let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
  bytes.initialize(from: text, count: text.count)
  var head = MessageHead(base: bytes, fields: fields)
  head.fieldCount = headers.count
  head.path = pathRange
  head.methodToken = .get
  return head
}

func rule(_ number: Int, _ match: RouteMatch) -> RouteRule {
  RouteRule(
    origin: RouteOrigin(namespace: "shop", name: "r\(number)", createdSeconds: 0, ruleIndex: 0), matches: [match],
    action: .forward([WeightedBackend(BackendReference(namespace: "shop", name: "backend", port: 80))]))
}

/// The path that rule `number` is about, and what else it asks for.
func match(_ number: Int) -> (RouteMatch, path: String, header: String) {
  let base = "/team-\(number % 97)/service-\(number)"
  switch number % 6 {
  case 0, 1: return (RouteMatch(path: .exact("\(base)/items")), "\(base)/items", "")
  case 2: return (RouteMatch(path: .prefix(base)), "\(base)/a/b", "")
  case 3: return (RouteMatch(path: .prefix("\(base)/v1")), "\(base)/v1/orders/17", "")
  case 4: return (RouteMatch(path: .prefix("\(base)/v1/orders")), "\(base)/v1/orders/17", "")
  default:
    let header = NamedMatch(name: "x-tenant", value: .exact("t\(number)"))
    return (RouteMatch(path: .prefix(base), headers: [header]), "\(base)/x", "t\(number)")
  }
}

let common = [
  ("host", "gateway.example.org"), ("user-agent", "bench/1.0"), ("accept", "*/*"), ("x-request-id", "0123456789abcdef"),
]

func nanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Nanoseconds for one look-up: the best of five runs.
func cost(_ table: RouteTable, _ heads: [MessageHead], count: Int) -> Double {
  let view = table.view
  var best = Double.infinity
  for _ in 0..<5 {
    var found = 0
    let begin = nanoseconds()
    heads.withUnsafeBufferPointer { heads in
      for index in 0..<count where !view.match(heads[index & (heads.count - 1)]).isNone { found += 1 }
    }
    best = min(best, Double(nanoseconds() - begin) / Double(count))
    precondition(found == count, "every request of this benchmark has a rule")
  }
  return best
}

var random = FastRandom(seed: 42)
print("{", terminator: "")
for count in [10, 100, 1_000, 10_000] {
  let matches = (0..<count).map(match)
  let table = try RouteTable(matches.enumerated().map { rule($0, $1.0) }) { _ in .cluster(0) }
  let heads = (0..<4_096).map { _ in
    let drawn = matches[Int(random.below(Int64(count)))]
    return head(drawn.path, common + (drawn.header.isEmpty ? [] : [("x-tenant", drawn.header)]))
  }
  print("\"mixed_\(count)\": \(cost(table, heads, count: 2_000_000)), ", terminator: "")
}
for count in [100, 10_000] {
  let rules = (0..<count).map { number in
    rule(number, RouteMatch(headers: [NamedMatch(name: "x-tenant", value: .exact("t\(number)"))]))
  }
  let table = try RouteTable(rules) { _ in .cluster(0) }
  let heads = (0..<4_096).map { _ in head("/", common + [("x-tenant", "t\(random.below(Int64(count)))")]) }
  let end = count == 100 ? ", " : "}\n"
  print("\"header_\(count)\": \(cost(table, heads, count: 4_096_000 / count))", terminator: end)
}
