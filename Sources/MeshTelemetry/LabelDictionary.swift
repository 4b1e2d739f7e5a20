import Synchronization

/// Which side of a connection reports: the label `reporter`.
package enum Reporter: UInt8, Sendable, BitwiseCopyable {
  /// The client's proxy.
  case source
  /// The server's proxy.
  case destination
}

/// How a connection is secured: the label `connection_security_policy`. Istio's source proxies say `unknown`.
package enum SecurityPolicy: UInt8, Sendable, BitwiseCopyable {
  case unknown, none, mutualTLS

  var label: String {
    switch self {
    case .unknown: "unknown"
    case .none: "none"
    case .mutualTLS: "mutual_tls"
    }
  }
}

/// What the labels say of one end of an edge. Empty where nothing is known: written as `unknown`.
package struct PeerLabels: Hashable, Sendable {
  package var workload = ""
  package var namespace = ""
  /// `spiffe://…`, as the certificate says.
  package var principal = ""
  package var app = ""
  package var version = ""
  package var canonicalService = ""
  package var canonicalRevision = ""
  package var cluster = ""

  package init() {}
}

/// A pair of workloads, and the service by which one calls the other.
package struct EdgeLabels: Hashable, Sendable {
  package var reporter: Reporter
  package var source = PeerLabels()
  package var destination = PeerLabels()
  /// The host: `catalog.shop.svc.cluster.local`.
  package var service = ""
  package var serviceName = ""
  package var serviceNamespace = ""
  package var security = SecurityPolicy.unknown

  package init(reporter: Reporter) { self.reporter = reporter }
}

/// A route's rule, and the service whose requests it took: a route may be attached to several.
package struct RouteLabels: Hashable, Sendable {
  /// `namespace/name/rule`; empty: no rule.
  package var name = ""
  /// The service that was asked for, `namespace/name`; empty: not known.
  package var asked = ""

  package init(name: String = "", asked: String = "") {
    self.name = name
    self.asked = asked
  }
}

/// Gives small numbers to label texts, so that the traffic path counts by number. A number never changes its meaning
/// while the process lives, whatever snapshots come and go.
///
/// Loops ask it when a snapshot is compiled and when a connection from a new peer comes, never per request.
package final class LabelDictionary: Sendable {
  /// The most edges; what comes above counts under `unknownEdge`.
  package static let maxEdges = 65_536
  /// The most routes; what comes above counts under `noRoute`.
  package static let maxRoutes = 65_536
  /// The edge of which nothing is known.
  package static let unknownEdge: UInt32 = 0
  /// The label of requests that no route took.
  package static let noRoute: UInt32 = 0

  private struct State {
    var edges = LabelList([EdgeLabels(reporter: .source)])
    var edgeNumbers: [EdgeLabels: UInt32] = [:]
    var routes = LabelList([RouteLabels()])
    var routeNumbers: [RouteLabels: UInt32] = [RouteLabels(): 0]
  }

  private let state = Mutex(State())

  package init() {}

  /// The number of an edge.
  package func edge(_ labels: EdgeLabels) -> UInt32 {
    state.withLock { state in
      if let known = state.edgeNumbers[labels] { return known }
      guard state.edges.count < Self.maxEdges else { return Self.unknownEdge }
      let number = UInt32(state.edges.count)
      state.edges.append(labels)
      state.edgeNumbers[labels] = number
      return number
    }
  }

  /// The number of a route.
  /// - Parameters:
  ///   - name: `namespace/name/rule`.
  ///   - asked: the service whose requests it takes, `namespace/name`.
  package func route(_ name: String, asked: String = "") -> UInt32 {
    let labels = RouteLabels(name: name, asked: asked)
    return state.withLock { state in
      if let known = state.routeNumbers[labels] { return known }
      guard state.routes.count < Self.maxRoutes else { return Self.noRoute }
      let number = UInt32(state.routes.count)
      state.routes.append(labels)
      state.routeNumbers[labels] = number
      return number
    }
  }

  /// All texts by number, for writing out.
  package func texts() -> LabelTexts {
    state.withLock { LabelTexts(edges: $0.edges, routes: $0.routes) }
  }
}

/// The texts of a `LabelDictionary` at a moment.
package struct LabelTexts: Sendable {
  let edges: LabelList<EdgeLabels>
  let routes: LabelList<RouteLabels>

  /// The labels of the edge `number`.
  package func edge(_ number: UInt32) -> EdgeLabels {
    Int(number) < edges.count ? edges[Int(number)] : EdgeLabels(reporter: .source)
  }

  /// The name of the route `number`, empty for none.
  package func route(_ number: UInt32) -> String { Int(number) < routes.count ? routes[Int(number)].name : "" }

  /// The service whose requests the route `number` took, `namespace/name`; empty where that is not known.
  package func asked(_ number: UInt32) -> String { Int(number) < routes.count ? routes[Int(number)].asked : "" }

  /// For each number of a route the first one of the same name: metrics do not tell apart what was asked for.
  func firstOfName() -> [UInt32] {
    var first: [String: UInt32] = [:]
    return (0..<routes.count).map { index in
      let number = UInt32(truncatingIfNeeded: index)
      if let known = first[routes[index].name] { return known }
      first[routes[index].name] = number
      return number
    }
  }
}

/// A list that only grows, in pieces: a loop that adds to it while a scrape holds a copy copies one piece, and not all.
struct LabelList<Element: Sendable>: Sendable {
  private static var pieceSize: Int { 64 }

  private var pieces: [[Element]]
  private(set) var count: Int

  /// - Parameter first: what it begins with, less than a piece.
  init(_ first: [Element]) {
    pieces = [first]
    count = first.count
  }

  /// Bounds are the caller's: 0..<count.
  subscript(index: Int) -> Element { pieces[index / Self.pieceSize][index % Self.pieceSize] }

  mutating func append(_ element: Element) {
    if count % Self.pieceSize == 0 { pieces.append([]) }
    pieces[pieces.count - 1].append(element)
    count += 1
  }
}
