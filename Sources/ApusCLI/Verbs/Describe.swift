import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus describe`: all that concerns one service, in one place.
struct Describe: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Show all that concerns one service: endpoints, routes, policies, traffic.",
    usage: "apus describe [service] <name> [-n <namespace>] [<options>]",
    discussion: """
      The traffic is that of the last 30 seconds (or --window).

      EXAMPLES
        apus describe catalog
        apus describe service payments -n shop
        apus describe service/payments -n shop -o json
      """)

  @Argument(help: ArgumentHelp("The service, as NAME, service/NAME or service NAME.", valueName: "service"))
  var service: String

  @Argument(help: ArgumentHelp("The service's name, where the kind comes before it.", valueName: "name"))
  var name: String?

  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var window: WindowOption
  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    let named = try ServiceName(service, name)
    var client = try connection.client(in: context)
    let description = try ServiceDescription(
      name: named.name, namespace: named.namespace ?? namespace.name, window: window.seconds, &client)
    context.write(description.value, as: format.output) { description.text(width: context.tableWidth) }
    return .success
  }
}

/// What is known of one service.
struct ServiceDescription {
  let name: String
  let namespace: String
  let window: Int
  let service: Value
  let endpoints: [Value]
  let routes: [Value]
  let policies: [Value]
  let callers: [Value]
  let rules: [Value]
  let versions: [Value]
  let learned: LearnedPorts

  init(name: String, namespace: String, window: Int, _ client: inout APIClient) throws(CLIFailure) {
    (self.name, self.namespace, self.window) = (name, namespace, window)
    let place = PercentCoding.encode(namespace)
    service = try client.call("GET", "/api/v1/namespaces/\(place)/services/\(PercentCoding.encode(name))")
    let workloads = try client.call("GET", "/apis/apus.dev/v1/workloads")["items"]?.elements ?? []
    endpoints = workloads.filter { workload in
      (workload["status"]?["services"]?.elements ?? []).contains { $0.text == "\(namespace)/\(name)" }
    }
    var routes: [Value] = []
    for kind in ["grpcroutes", "httproutes", "tlsroutes", "tcproutes"] {
      routes += try Self.objects("/apis/gateway.networking.k8s.io/v1/\(kind)", &client).filter { route in
        Self.points(route["spec"]?["parentRefs"], at: name, in: namespace, from: route["metadata"]?["namespace"]?.text)
      }
    }
    self.routes = routes
    var policies: [Value] = []
    for path in ["apus.dev/v1/trafficpolicies", "gateway.networking.k8s.io/v1/backendtlspolicies"] {
      policies += try Self.objects("/apis/\(path)", &client).filter { policy in
        Self.points(
          policy["spec"]?["targetRefs"], at: name, in: namespace, from: policy["metadata"]?["namespace"]?.text)
      }
    }
    self.policies = policies
    let to = "to=\(PercentCoding.encode("\(namespace)/\(name)"))&window=\(window)"
    callers = try Self.objects("/apis/apus.dev/v1/traffic?by=sourceService,security&\(to)", &client)
    rules = try Self.objects("/apis/apus.dev/v1/traffic?by=service,route&\(to)", &client)
    versions = try Self.objects("/apis/apus.dev/v1/traffic?by=workload,version&\(to)", &client)
    learned = LearnedPorts(service: name, namespace: namespace, &client)
  }

  private static func objects(_ path: String, _ client: inout APIClient) throws(CLIFailure) -> [Value] {
    try client.call("GET", path)["items"]?.elements ?? []
  }

  private static func points(_ references: Value?, at name: String, in namespace: String, from own: String?) -> Bool {
    (references?.elements ?? []).contains { reference in
      reference["name"]?.text == name && (reference["namespace"]?.text ?? own) == namespace
    }
  }

  var value: Value {
    .object([
      .init("service", service), .init("endpoints", .list(endpoints)), .init("routes", .list(routes)),
      .init("policies", .list(policies)), .init("windowSeconds", .integer(window)), .init("callers", .list(callers)),
      .init("rules", .list(rules)), .init("versions", .list(versions)), .init("learnedPorts", learned.value),
    ])
  }

  func text(width: Int?) -> String {
    var text = "Service     \(namespace)/\(name)\n"
    for port in service["spec"]?["ports"]?.elements ?? [] {
      let target = port["targetPort"]?.scalarText ?? port["port"]?.scalarText ?? ""
      text += "Port        \(port["port"]?.scalarText ?? "") to \(target)\n"
    }
    for line in learned.lines { text += line + "\n" }
    if let selector = service["spec"]?["selector"]?.labelText { text += "Selector    \(selector)\n" }
    if let name = service["spec"]?["externalName"]?.text {
      let resolved = (service["status"]?["conditions"]?.elements ?? []).first { $0["type"]?.text == "Resolved" }
      text += "Name        \(name)\nResolved    \(Self.state("Resolved", resolved.map { [$0] } ?? []))"
      text += (resolved?["message"]?.text).map { ": \($0)\n" } ?? "\n"
      text += section("Endpoints", addressTable, width, none: "none: the name has no address that is used")
    } else {
      text += section("Endpoints", endpointTable, width, none: "none: nothing that it selects runs")
    }
    text += section("Routes", routeTable, width, none: "none: everything goes to the service itself")
    text += section("Policies", policyTable, width, none: "none: the mesh's defaults hold")
    text += section("Called by, last \(window) s", callerTable, width, none: "nobody")
    text += section("By rule", Routes.table(rules), width, none: "no requests")
    text += section("By workload", versionTable, width, none: "no requests")
    return text
  }

  private func section(_ title: String, _ table: Table, _ width: Int?, none: String) -> String {
    let lines = table.rows.isEmpty ? [none] : table.lines(maxWidth: width.map { $0 - 2 })
    return "\n\(title)\n" + lines.map { "  \($0)\n" }.joined()
  }

  /// The addresses of an external name.
  private var addressTable: Table {
    var table = Table([.init("ADDRESS", minimumWidth: 10)])
    table.rows = (service["status"]?["resolved"]?["addresses"]?.elements ?? []).compactMap { $0.text.map { [$0] } }
    return table
  }

  private var endpointTable: Table {
    var table = Table([
      .init("WORKLOAD", minimumWidth: 10), .init("VERSION"), .init("HEALTH"), .init("ADDRESS"),
      .init("IDENTITY", minimumWidth: 10),
    ])
    table.rows = endpoints.map { workload in
      [
        workload["metadata"]?["uid"]?.text, workload["metadata"]?["labels"]?["version"]?.text,
        workload["status"]?["health"]?.text, workload["spec"]?["address"]?.text, workload["status"]?["identity"]?.text,
      ].map { $0.flatMap { $0.isEmpty ? nil : $0 } ?? Figures.none }
    }
    return table
  }

  private var routeTable: Table {
    var table = Table([
      .init("KIND"), .init("NAME"), .init("RULES", .right), .init("ACCEPTED"), .init("RESOLVED"),
      .init("MESSAGE", minimumWidth: 10),
    ])
    table.rows = routes.map { route in
      let conditions = (route["status"]?["parents"]?.elements ?? []).flatMap { $0["conditions"]?.elements ?? [] }
      let bad = conditions.first { $0["status"]?.text == "False" }
      return [
        route["kind"]?.text ?? "", Figures.name(route["metadata"]?["namespace"], route["metadata"]?["name"]),
        "\(route["spec"]?["rules"]?.elements?.count ?? 0)",
        Self.state("Accepted", conditions), Self.state("ResolvedRefs", conditions),
        bad?["message"]?.text ?? "",
      ]
    }
    return table
  }

  /// A condition of all parents in a word: `no` where it does not hold for one of them.
  static func state(_ type: String, _ conditions: [Value]) -> String {
    let told = conditions.filter { $0["type"]?.text == type }.map { $0["status"]?.text }
    if told.isEmpty { return Figures.none }
    if told.contains("False") { return "no" }
    return told.allSatisfy { $0 == "True" } ? "yes" : "unknown"
  }

  private var policyTable: Table {
    var table = Table([.init("KIND"), .init("NAME"), .init("SETS", minimumWidth: 10)])
    table.rows = policies.map { policy in
      let settings = (policy["spec"]?.members ?? []).map(\.name).filter { $0 != "targetRefs" }
      return [
        policy["kind"]?.text ?? "", Figures.name(policy["metadata"]?["namespace"], policy["metadata"]?["name"]),
        settings.joined(separator: ", "),
      ]
    }
    return table
  }

  private var callerTable: Table {
    var table = Table([
      .init("CALLER"), .init("SECURED"), .init("SUCCESS", .right), .init("RPS", .right), .init("P50", .right),
      .init("P99", .right),
    ])
    table.rows = callers.map { row in
      [
        Figures.name(row["sourceNamespace"], row["sourceService"]),
        Edges.secured(row),
      ] + Figures.golden(row, quantiles: ["p50Ms", "p99Ms"])
    }
    return Figures.withConnections(table, callers)
  }

  private var versionTable: Table {
    var table = Table([
      .init("WORKLOAD"), .init("VERSION"), .init("SUCCESS", .right), .init("RPS", .right), .init("P50", .right),
      .init("P99", .right),
    ])
    table.rows = versions.filter { $0["workload"]?.text?.isEmpty == false }.map { row in
      [Figures.name(nil, row["workload"]), Figures.name(nil, row["version"])]
        + Figures.golden(row, quantiles: ["p50Ms", "p99Ms"])
    }
    return table
  }
}
