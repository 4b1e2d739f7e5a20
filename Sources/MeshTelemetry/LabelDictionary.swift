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
    var edges: [EdgeLabels] = [EdgeLabels(reporter: .source)]
    var edgeNumbers: [EdgeLabels: UInt32] = [:]
    var routes: [String] = [""]
    var routeNumbers: [String: UInt32] = ["": 0]
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

  /// The number of a route's name, `namespace/name/rule`.
  package func route(_ name: String) -> UInt32 {
    state.withLock { state in
      if let known = state.routeNumbers[name] { return known }
      guard state.routes.count < Self.maxRoutes else { return Self.noRoute }
      let number = UInt32(state.routes.count)
      state.routes.append(name)
      state.routeNumbers[name] = number
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
  let edges: [EdgeLabels]
  let routes: [String]

  /// The labels of the edge `number`.
  package func edge(_ number: UInt32) -> EdgeLabels {
    Int(number) < edges.count ? edges[Int(number)] : EdgeLabels(reporter: .source)
  }

  /// The name of the route `number`, empty for none.
  package func route(_ number: UInt32) -> String { Int(number) < routes.count ? routes[Int(number)] : "" }
}
