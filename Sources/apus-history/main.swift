import Glibc
import MeshControl
import MeshWire

// What an hour of statistics of a large mesh takes in the control plane: feeds what the proxies would report into the
// very state machines that keep it, in virtual time, and says how much memory the process has at the end.
//
//   apus-history [PROXIES [EDGES]]      default: 1000 proxies that call 6 services each

let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let proxies = arguments.first ?? 1_000
let edges = arguments.dropFirst().first ?? 6

/// One of a proxy's calls, as it reports it.
func edge(of proxy: Int, number: Int, second: Int64) -> EdgeStatistics {
  let called = (proxy &* 7 &+ number &* 131) % proxies
  var edge = EdgeStatistics()
  edge.reporter = number % 2 == 0 ? .source : .destination
  edge.sourceNamespace = "team-\(proxy % 20)"
  edge.sourceWorkload = "service-\(proxy / 3)-7f3k9x2m-\(proxy)"
  edge.sourceService = "service-\(proxy / 3)"
  edge.destinationNamespace = "team-\(called % 20)"
  edge.destinationService = "service-\(called / 3)"
  edge.destinationWorkload = "service-\(called / 3)-7f3k9x2m-\(called)"
  edge.destinationVersion = "v\(called % 2 + 1)"
  edge.route = "team-\(called % 20)/service-\(called / 3)/0"
  edge.isMutualTLS = true
  edge.requests = 40
  edge.failures = second % 7 == 0 ? 1 : 0
  // A dozen buckets, as latencies of one kind fill them.
  for bucket in 0..<12 {
    edge.latency.append(UInt32(120 + bucket + number % 5))
    edge.latency.append(UInt32(1 + bucket % 5))
  }
  return edge
}

func residentMegabytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
  let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
    separator: " ")
  return ((words.dropFirst().first.flatMap { Int($0) } ?? 0) * sysconf(Int32(_SC_PAGESIZE))) >> 20
}

var window = StatisticsWindow()
var history = StatisticsHistory()
let before = residentMegabytes()
// A step of the history is the same whether its counts come in one report or in ten: only the last minutes, which are
// kept second by second as well, are reported every second.
for second in stride(from: Int64(0), to: 3_600, by: 1) where second % 10 == 0 || second >= 3_300 {
  for proxy in 0..<proxies {
    var report = StatisticsReport()
    report.edges = (0..<edges).map { edge(of: proxy, number: $0, second: second) }
    if second >= 3_300 { window.add(report, proxy: "proxy-\(proxy)", now: .seconds(second)) }
    history.add(report, edgeLimit: 5_000, now: .seconds(second))
  }
}
let query = TrafficQuery(window: .seconds(3_600), dimensions: [.sourceService, .service])
let rows = history.traffic(query, now: .seconds(3_599))
var line =
  "\(proxies) proxies, \(history.edgeCount) edges: \(residentMegabytes() - before) MB "
  + "(packed steps \(history.storedBytes >> 20) MB); a query over the hour has \(rows.count) rows, "
  + "\(rows.reduce(0) { $0 + $1.figures.requests }) requests\n"
line.withUTF8 { _ = write(1, $0.baseAddress, $0.count) }
