import MeshControl

/// The services of the demo, and what is applied for them.
struct DemoShop {
  /// One program of the shop.
  struct Member: Equatable {
    var service: String
    /// Absent: there is only one version of it.
    var version: String?
    /// How long it takes to answer, milliseconds.
    var latencyMilliseconds = 2
    /// The services it calls for each request.
    var calls: [String] = []

    /// What it is called in file names and messages.
    var name: String { version.map { "\(service)-\($0)" } ?? service }
  }

  /// In the order in which they start; each needs only those before it.
  static let members: [Member] = [
    Member(service: "payments", latencyMilliseconds: 8),
    Member(service: "cart", latencyMilliseconds: 4),
    Member(service: "catalog", version: "v1", latencyMilliseconds: 3),
    Member(service: "catalog", version: "v2", latencyMilliseconds: 2),
    Member(service: "front", latencyMilliseconds: 1, calls: ["catalog", "cart", "payments"]),
  ]

  /// The service whose traffic the canary moves.
  static let canaryService = "catalog"

  /// The services that routes name; `apus run` makes the others.
  static let services = """
    apiVersion: v1
    kind: Service
    metadata: {name: catalog}
    spec:
      selector: {app: catalog}
      ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: catalog-v1}
    spec:
      selector: {app: catalog, version: v1}
      ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: catalog-v2}
    spec:
      selector: {app: catalog, version: v2}
      ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]

    """

  /// The route of the catalog with these shares, in per cent.
  static func route(stable: Int, canary: Int) -> String {
    """
    # Where the requests for http://catalog go.
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: catalog}
    spec:
      parentRefs: [{group: "", kind: Service, name: catalog}]
      rules:
      - backendRefs:
        - {name: catalog-v1, port: 80, weight: \(stable)}
        - {name: catalog-v2, port: 80, weight: \(canary)}

    """
  }
}
