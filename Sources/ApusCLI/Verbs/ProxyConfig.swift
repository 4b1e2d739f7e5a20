import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus proxy-config`: what one proxy works from, as it says itself.
struct ProxyConfigVerb: Verb {
  enum Page: String, ExpressibleByArgument, CaseIterable {
    case listeners, routes, clusters, endpoints, secrets
  }

  static let configuration = CommandConfiguration(
    commandName: "proxy-config",
    abstract: "Show what a proxy works from, as it says itself.",
    usage: "apus proxy-config <part> <proxy> [<options>]",
    discussion: """
      A proxy is named as `apus proxy-status` lists it; a service's name does where one proxy only runs it. Secrets are \
      certificates; keys are never shown.

      EXAMPLES
        apus proxy-config endpoints front-7f3k9x2m
        apus proxy-config routes front
        apus proxy-config secrets front -o json
      """)

  @Argument(help: ArgumentHelp("listeners, routes, clusters, endpoints or secrets.", valueName: "page"))
  var page: Page

  @Argument(help: ArgumentHelp("The proxy.", valueName: "proxy"))
  var proxy: String

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let id = try Self.proxy(named: proxy, &client)
    let name = page == .clusters ? "endpoints" : page.rawValue
    let value = try client.call("GET", "/apis/apus.dev/v1/proxies/\(PercentCoding.encode(id))/\(name)")
    context.write(value, as: format.output) {
      let table = Self.table(page, value, now: context.now())
      if table.rows.isEmpty { context.errors.write("\(id) has no \(page.rawValue).\n") }
      return table.rows.isEmpty ? "" : table.text(maxWidth: context.tableWidth)
    }
    return .success
  }

  /// The id of the proxy that a person means.
  static func proxy(named name: String, _ client: inout APIClient) throws(CLIFailure) -> String {
    let wanted = name.split(separator: "/").last.map(String.init) ?? name
    let all = try client.call("GET", "/apis/apus.dev/v1/proxies")["items"]?.elements ?? []
    if all.contains(where: { $0["id"]?.text == wanted }) { return wanted }
    let named = all.filter { $0["workload"]?.text == wanted || $0["service"]?.text == wanted }
    let connected = named.filter { $0["status"]?.text != "DISCONNECTED" }
    let ids = (connected.isEmpty ? named : connected).compactMap { $0["id"]?.text }
    guard let first = ids.first else {
      throw CLIFailure(.notFound, "there is no proxy \"\(name)\"", hint: "`apus proxy-status -A` lists them")
    }
    guard ids.count == 1 else {
      throw CLIFailure(
        .usage, "\(ids.count) proxies run \"\(name)\"", details: Array(ids.prefix(10)), hint: "name one of them")
    }
    return first
  }

  static func table(_ page: Page, _ value: Value, now: Timestamp) -> Table {
    switch page {
    case .listeners: listeners(value)
    case .routes: routes(value)
    case .clusters: clusters(value)
    case .endpoints: endpoints(value)
    case .secrets: secrets(value, now: now)
    }
  }

  private static func rows(_ value: Value, _ name: String, _ row: (Value) -> [String]) -> [[String]] {
    (value[name]?.elements ?? []).map(row)
  }

  private static func listeners(_ value: Value) -> Table {
    var table = Table([.init("NAME", minimumWidth: 8), .init("KIND"), .init("ADDRESS"), .init("FOR", minimumWidth: 8)])
    table.rows = rows(value, "listeners") { listener in
      let port = listener["port"]?.scalarText ?? ""
      let service = listener["service"]?.text.map { "\($0):\(port)" }
      let kind = listener["kind"]?.text ?? "outbound"
      return [
        listener["name"]?.text ?? Figures.none, kind, listener["address"]?.text ?? Figures.none,
        service ?? (kind == "inbound" ? "application port \(port)" : "any service by its name"),
      ]
    }
    return table
  }

  private static func routes(_ value: Value) -> Table {
    var table = Table([
      .init("SERVICE", minimumWidth: 8), .init("ROUTE", minimumWidth: 8), .init("MATCHES", minimumWidth: 10),
      .init("BACKENDS", minimumWidth: 10),
    ])
    for service in value["services"]?.elements ?? [] {
      for rule in service["routes"]?.elements ?? [] {
        table.rows.append([
          Figures.name(service["namespace"], service["name"]),
          "\(rule["route"]?.text ?? "")/\(rule["ruleName"]?.text ?? rule["ruleIndex"]?.scalarText ?? "0")",
          matches(rule), backends(rule),
        ])
      }
    }
    return table
  }

  private static func matches(_ rule: Value) -> String {
    let all = (rule["matches"]?.elements ?? []).map { match in
      var parts: [String] = []
      if let method = match["method"]?.text { parts.append(method) }
      if let path = match["path"] {
        parts.append("\(path["value"]?.text ?? "/")\(path["kind"]?.text == "prefix" ? "*" : "")")
      }
      for header in match["headers"]?.elements ?? [] {
        parts.append("\(header["name"]?.text ?? "")=\(header["value"]?.text ?? "")")
      }
      for parameter in match["queryParams"]?.elements ?? [] {
        parts.append("?\(parameter["name"]?.text ?? "")=\(parameter["value"]?.text ?? "")")
      }
      return parts.joined(separator: " ")
    }
    return all.isEmpty ? "everything" : all.joined(separator: " or ")
  }

  private static func backends(_ rule: Value) -> String {
    let all = (rule["backends"]?.elements ?? []).map { backend in
      "\(backend["service"]?.text ?? "")=\(backend["weight"]?.scalarText ?? "0")"
    }
    return all.isEmpty ? "answered by the rule" : all.joined(separator: " ")
  }

  private static func clusters(_ value: Value) -> Table {
    var table = Table([
      .init("SERVICE", minimumWidth: 8), .init("PORT", .right), .init("BALANCER"), .init("ENDPOINTS", .right),
      .init("REQUESTS", .right), .init("WAITING", .right), .init("REFUSED", .right), .init("RETRIES LEFT", .right),
    ])
    table.rows = rows(value, "clusters") { cluster in
      let limits = cluster["limits"]?.elements ?? []
      func limit(_ kind: String) -> String {
        let found = limits.first { $0["kind"]?.text == kind }
        return "\(found?["current"]?.scalarText ?? "0")/\(found?["limit"]?.scalarText ?? "∞")"
      }
      let endpoints = cluster["endpoints"]?.elements ?? []
      let healthy = endpoints.count { $0["state"]?.text == "healthy" }
      let refused = limits.reduce(0) { $0 + ($1["refused"]?.int ?? 0) }
      return [
        cluster["service"]?.text ?? Figures.none, cluster["port"]?.scalarText ?? Figures.none,
        cluster["balancer"]?.text ?? Figures.none, "\(healthy)/\(endpoints.count)", limit("requests"),
        limit("pending"), "\(refused)", cluster["retryBudget"]?.scalarText ?? "0",
      ]
    }
    return table
  }

  private static func endpoints(_ value: Value) -> Table {
    var table = Table([
      .init("SERVICE", minimumWidth: 8), .init("WORKLOAD", minimumWidth: 8), .init("ADDRESS"), .init("STATE"),
      .init("WEIGHT", .right), .init("BUSY", .right), .init("LATENCY", .right), .init("TLS"),
    ])
    for cluster in value["clusters"]?.elements ?? [] {
      for endpoint in cluster["endpoints"]?.elements ?? [] {
        table.rows.append([
          "\(cluster["service"]?.text ?? ""):\(cluster["port"]?.scalarText ?? "")",
          endpoint["uid"]?.text ?? Figures.none, endpoint["address"]?.text ?? Figures.none,
          endpoint["state"]?.text ?? Figures.none, endpoint["weight"]?.scalarText ?? "0",
          endpoint["inFlight"]?.scalarText ?? "0",
          Figures.milliseconds(endpoint["latencyMicroseconds"]?.double.map { $0 / 1000 }),
          endpoint["identity"]?.text == nil ? "no" : "mTLS",
        ])
      }
    }
    return table
  }

  private static func secrets(_ value: Value, now: Timestamp) -> Table {
    var table = Table([
      .init("KIND"), .init("IDENTITY", minimumWidth: 20), .init("ENDS"), .init("SERIAL", minimumWidth: 8),
    ])
    table.rows = rows(value, "certificates") { certificate in
      let end = certificate["notAfterSeconds"]?.double.map { Timestamp(secondsSinceEpoch: Int64($0)).rfc3339 }
      return [
        certificate["kind"]?.text ?? Figures.none, certificate["identity"]?.text ?? Figures.none,
        ProxyStatusVerb.remaining(end, now) ?? Figures.none, certificate["serial"]?.text ?? Figures.none,
      ]
    }
    return table
  }
}
