import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus get`: objects as a table, as YAML or JSON, and as they change.
struct Get: Verb {
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case table, wide, json, yaml
  }

  static let configuration = CommandConfiguration(
    abstract: "Show objects: services, routes, policies, workloads.",
    usage: "apus get <kind> [<name>] [-n <namespace> | -A] [-o <format>] [<options>]",
    discussion: """
      Kinds go by plural, singular or short name: services (svc), httproutes, grpcroutes, tlsroutes, tcproutes, \
      endpointslices, trafficpolicies (tp), backendtlspolicies (btlspolicy), referencegrants (refgrant), \
      configmaps (cm), peerauthentications (pa), directresponses (dr), rollouts (ro), \
      telemetries (tel), workloads (wl); several with commas between, or all.

      EXAMPLES
        apus get services,httproutes
        apus get httproute catalog -o yaml
        apus get workloads -A -l app=catalog -w
      """)

  @Argument(
    help: ArgumentHelp("The kind, KIND/NAME, several kinds, or all.", valueName: "kind"),
    completion: .list(Completions.kinds))
  var kind: String

  @Argument(help: "The object's name; all objects where it is left out.")
  var name: String?

  @OptionGroup var namespaces: NamespacesOption

  @Option(name: [.customShort("o"), .long], help: "table, wide, json or yaml.")
  var output = Format.table

  @Option(name: [.customShort("l"), .long], help: "Only objects with these labels, as in app=catalog,version=v1.")
  var selector: String?

  @Flag(name: [.short, .long], help: "Go on showing changes as they happen.")
  var watch = false

  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    if let kinds = try Self.several(kind) {
      var client = try connection.client(in: context)
      try showAll(of: kinds, with: &client, in: context)
      return .success
    }
    let target = try ObjectName(kind: kind, name: name)
    if target.name != nil, selector != nil {
      throw CLIFailure(.usage, "a name and --selector exclude each other", hint: "leave one of them out")
    }
    if target.name != nil, namespaces.allNamespaces {
      throw CLIFailure(.usage, "a name and --all-namespaces exclude each other", hint: "name the namespace with -n")
    }
    var client = try connection.client(in: context)
    if let name = target.name, !watch {
      let path = "\(target.kind.path(namespace: namespaces.single.name))/\(PercentCoding.encode(name))"
      show(try client.call("GET", path), of: target.kind, in: context)
      return .success
    }
    let list = try fetch(target, with: &client)
    if watch {
      try follow(list, of: target, with: &client, in: context)
    } else {
      show(list, of: target.kind, in: context)
    }
    return .success
  }

  /// The list of what was asked for.
  func fetch(_ target: ObjectName, with client: inout APIClient) throws(CLIFailure) -> Value {
    let list = try client.call("GET", path(of: target))
    guard target.kind == .workload, let selector else { return list }
    // Workloads are not stored objects: the control plane lists all, and the choice is made here.
    let labels = try LabelSelector(selector)
    let chosen = (list["items"]?.elements ?? []).filter { labels.matches($0["metadata"]?["labels"]) }
    let members = (list.members ?? []).filter { $0.name != "items" }
    return .object(members + [.init("items", .list(chosen))])
  }

  func path(of target: ObjectName, parameters: [String] = []) -> String {
    var query = parameters
    if let selector { query.append("labelSelector=\(PercentCoding.encode(selector))") }
    if let name = target.name { query.append("fieldSelector=\(PercentCoding.encode("metadata.name=\(name)"))") }
    let path = target.kind.path(namespace: namespaces.listed)
    return query.isEmpty ? path : "\(path)?\(query.joined(separator: "&"))"
  }

  private func show(_ value: Value, of kind: KindInfo, in context: CLIContext) {
    switch output {
    case .json: context.output.write(PrettyJSON.text(value))
    case .yaml: context.output.write(YAMLWriter.text(value))
    case .table, .wide:
      let objects = value["items"]?.elements ?? [value]
      if objects.isEmpty {
        context.errors.write("No \(kind.plural) \(place).\n")
      } else {
        context.output.write(table(kind, context).table(of: objects).text(maxWidth: width(context)))
      }
    }
  }

  func table(_ kind: KindInfo, _ context: CLIContext) -> ResourceTable {
    ResourceTable(
      kind: kind, wide: output == .wide, showsNamespace: namespaces.allNamespaces, now: context.now())
  }

  func width(_ context: CLIContext) -> Int? { output == .wide ? nil : context.tableWidth }
}

/// What a verb was pointed at: `services`, `service catalog` or `service/catalog`.
struct ObjectName: Equatable {
  var kind: KindInfo
  /// Absent: all objects of the kind.
  var name: String?

  init(kind: KindInfo, name: String?) {
    self.kind = kind
    self.name = name
  }

  init(kind: String, name: String?) throws(CLIFailure) {
    let parts = kind.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    self.kind = try KindInfo.named(String(parts.first ?? ""))
    guard parts.count > 1 else {
      self.name = name
      return
    }
    guard name == nil, !parts[1].isEmpty else {
      throw CLIFailure(.usage, "\"\(kind)\" with \"\(name ?? "")\" names no object", hint: "write service/catalog")
    }
    self.name = String(parts[1])
  }
}
