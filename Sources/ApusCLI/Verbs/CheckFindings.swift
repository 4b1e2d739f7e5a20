import ApusHTTP
import MeshControl

extension CheckReport {
  /// The machine: the folder, who may read the secrets, the programs.
  mutating func machine(folder: DataFolder, context: CLIContext) {
    if Files.isFolder(folder.path) {
      ok("data folder", folder.path)
      store(in: folder)
    } else {
      warning(
        "data folder", "\(folder.path) is not there", hint: "`apus up` makes it; --data or APUS_DATA name another")
    }
    for file in folder.secretFiles {
      guard let mode = Files.mode(file) else { continue }
      if mode & 0o077 != 0 {
        failed("secrets", "others may read \(file)", hint: "chmod 600 \(file)")
      }
    }
    do {
      ok("apus-proxy", try ProgramSearch(context).proxy())
    } catch {
      failed("apus-proxy", error.what, hint: error.hint ?? "")
    }
  }

  /// Room that a change of the configuration may take: its rows, and the log in which they come first.
  private static let roomForChanges = 256 << 10

  /// The store: whether changes can be written to it.
  private mutating func store(in folder: DataFolder) {
    guard Files.mode(folder.storeFile) != nil else { return }
    let refusal =
      Files.isWritable(folder.storeFile)
      ? Files.refusalToWrite(Self.roomForChanges, in: folder.path) : "the file may not be written to"
    if let refusal {
      failed(
        "store", "changes cannot be stored in \(folder.storeFile): \(refusal)",
        hint: "make room on its disk, and see that you may write to the folder; until then nothing can be applied")
    } else {
      ok("store", "changes can be stored")
    }
  }

  /// The control plane: whether it answers, is ready, and is of this version.
  /// - Returns: whether it answers.
  mutating func controlPlane(_ client: inout APIClient) -> Bool {
    let subject = "control plane"
    do throws(CLIFailure) {
      let version = try client.call("GET", "/version")
      let text = version["version"]?.text ?? "unknown"
      ok(subject, "answers at \(client.address), version \(text)")
      if text != ApusVersion.text {
        warning(
          subject, "it is \(text), this program is \(ApusVersion.text)", hint: "use one version, or restart `apus up`")
      }
    } catch {
      failed(subject, error.what, hint: error.hint ?? "")
      return error.status != .unreachable
    }
    do throws(CLIFailure) {
      let ready = try client.answer("GET", "/readyz")
      if ready.status == 200 {
        ok(subject, "ready")
      } else {
        failed(subject, "not ready: \(ready.text.prefix(200))", hint: "look at what `apus up` wrote")
      }
    } catch {
      failed(subject, error.what, hint: error.hint ?? "")
    }
    return true
  }

  /// The proxies: whether each has what is meant for it, and a certificate that lives.
  mutating func proxies(_ client: inout APIClient, now: Timestamp) {
    guard let items = items("/apis/apus.dev/v1/proxies", "proxies", &client) else { return }
    for proxy in items {
      let subject = "proxy \(proxy["id"]?.text ?? "?")"
      switch proxy["status"]?.text {
      case "NACKED":
        let type = ProxyStatusVerb.shortType(proxy["nack"]?["type"]?.text ?? "")
        failed(
          subject, "it refused \(type): \(proxy["nack"]?["message"]?.text ?? "no reason given")",
          hint: "mend the object that the message names; the last good configuration stays in force")
      case "STALE":
        warning(subject, "it has not acknowledged its configuration yet", hint: "ask again in a few seconds")
      case "DISCONNECTED":
        warning(
          subject, "it is not connected and goes on with its last configuration",
          hint: "see whether its `apus run` is alive, and what its proxy.log says")
      default: break
      }
      certificate(subject, proxy["certificateNotAfter"]?.text, now)
    }
    let synced = items.count { $0["status"]?.text == "SYNCED" }
    ok("proxies", "\(synced) of \(items.count) have acknowledged their configuration")
  }

  private mutating func certificate(_ subject: String, _ notAfter: String?, _ now: Timestamp) {
    guard let end = notAfter.flatMap({ Timestamp(rfc3339: $0) }), end <= now else { return }
    let age = Figures.age(seconds: now.secondsSinceEpoch - end.secondsSinceEpoch)
    failed(
      subject, "its certificate expired \(age) ago",
      hint: "the proxy renews it by itself while it reaches the control plane; restart its `apus run` if it does not")
  }

  /// The configuration: services with nobody behind them, routes and policies that cannot work.
  mutating func configuration(_ client: inout APIClient) {
    guard let services = items(KindRegistry.kind(named: "services"), &client),
      let workloads = items(KindInfo.workload, &client),
      let slices = items(KindRegistry.kind(named: "endpointslices"), &client)
    else { return }
    for service in services { externalName(service) }
    for service in services where !Self.hasEndpoint(service, workloads, slices) {
      let name = service["metadata"]?["name"]?.text ?? "?"
      let message = "no workload matches \(service["spec"]?["selector"]?.labelText ?? "it")"
      if service["metadata"]?["labels"]?[RunPlan.makerLabel.name]?.text == RunPlan.makerLabel.value {
        // `run` makes a service for everything that it runs, and leaves it when that ends, clients among them.
        ok("service \(name)", "\(message) now; `apus run` made it")
      } else {
        warning(
          "service \(name)", message, hint: "start one with `apus run --service NAME`, or change spec.selector")
      }
    }
    for workload in workloads { membership(workload, services) }
    ok("services", "\(services.count) looked at")
    let named = [
      "httproutes", "grpcroutes", "tcproutes", "tlsroutes", "trafficpolicies", "backendtlspolicies", "rollouts",
    ]
    for name in named {
      guard let kind = KindRegistry.kind(named: name), let objects = items(kind, &client) else { continue }
      for object in objects { conditions(of: object, kind) }
      ok(kind.plural, "\(objects.count) looked at")
    }
  }

  /// Workloads whose labels a service asks for, and whose account it does not let in.
  private mutating func membership(_ workload: Value, _ services: [Value]) {
    let metadata = workload["metadata"]
    let chosen = (workload["status"]?["services"]?.elements ?? []).compactMap(\.text)
    guard let account = workload["spec"]?["serviceAccount"]?.text, let namespace = metadata?["namespace"]?.text
    else { return }
    for service in services where service["metadata"]?["namespace"]?.text == namespace {
      guard let name = service["metadata"]?["name"]?.text, !chosen.contains("\(namespace)/\(name)"),
        Self.matches(service, metadata?["labels"])
      else { continue }
      warning(
        "workload \(metadata?["uid"]?.text ?? metadata?["name"]?.text ?? "?")",
        "it has the labels of service \(name), which does not let in its account \(account)",
        hint: "give the service the annotation \(ServiceSpec.accountsAnnotation) with the accounts that serve it, "
          + "or run the workload with another --account")
    }
  }

  private static func matches(_ service: Value, _ labels: Value?) -> Bool {
    guard let selector = service["spec"]?["selector"]?.members, !selector.isEmpty else { return false }
    return selector.allSatisfy { labels?[$0.name] == $0.value }
  }

  private mutating func conditions(of object: Value, _ kind: KindInfo) {
    let status = object["status"]
    let parents = status?["parents"]?.elements ?? status?["ancestors"]?.elements ?? status.map { [$0] } ?? []
    for condition in parents.flatMap({ $0["conditions"]?.elements ?? [] }) where condition["status"]?.text == "False" {
      let subject = "\(kind.singular) \(object["metadata"]?["name"]?.text ?? "?")"
      let reason = condition["reason"]?.text ?? ""
      let message = "\(condition["type"]?.text ?? "") is False (\(reason)): \(condition["message"]?.text ?? "")"
      if kind.kind != RolloutSpec.kind.kind {
        failed(subject, message, hint: "change the object that the message names and apply it again")
      } else if reason != RolloutReason.abortedByPerson.rawValue {
        // The mesh works: the version before carries the traffic. What a person has ended is no news to anybody.
        warning(
          subject, message, hint: "`apus rollout status` shows why; `apus rollout retry` begins the release again")
      }
    }
  }

  /// A service whose endpoints are the addresses of a name: whether the control plane can resolve it.
  private mutating func externalName(_ service: Value) {
    let conditions = service["status"]?["conditions"]?.elements ?? []
    guard let told = conditions.first(where: { $0["type"]?.text == "Resolved" }), told["status"]?.text == "False",
      told["reason"]?.text != RouteReason.pending.rawValue
    else { return }
    let subject = "service \(service["metadata"]?["name"]?.text ?? "?")"
    let message = told["message"]?.text ?? "its name is not resolved"
    let hint = "see its externalName, and what the name servers of the control plane answer"
    if service["status"]?["resolved"]?["addresses"]?.elements?.isEmpty == false {
      warning(subject, message, hint: hint)
    } else {
      failed(subject, message, hint: hint)
    }
  }

  /// Whether a workload, an endpoint slice or a name stands behind a service.
  static func hasEndpoint(_ service: Value, _ workloads: [Value], _ slices: [Value]) -> Bool {
    let metadata = service["metadata"]
    let namespace = metadata?["namespace"]?.text
    let isSliced = slices.contains { slice in
      slice["metadata"]?["namespace"]?.text == namespace
        && slice["metadata"]?["labels"]?["kubernetes.io/service-name"]?.text == metadata?["name"]?.text
        && !(slice["endpoints"]?.elements ?? []).isEmpty
    }
    if isSliced || service["spec"]?["type"]?.text == ServiceSpec.ServiceType.externalName.rawValue { return true }
    return workloads.contains { workload in
      workload["metadata"]?["namespace"]?.text == namespace && matches(service, workload["metadata"]?["labels"])
    }
  }

  private mutating func items(_ kind: KindInfo?, _ client: inout APIClient) -> [Value]? {
    guard let kind else { return nil }
    return items(kind.path(namespace: nil), kind.plural, &client)
  }

  mutating func items(_ path: String, _ subject: String, _ client: inout APIClient) -> [Value]? {
    do throws(CLIFailure) {
      return try client.call("GET", path)["items"]?.elements ?? []
    } catch {
      failed(subject, error.what, hint: error.hint ?? "see what `apus up` wrote")
      return nil
    }
  }
}
