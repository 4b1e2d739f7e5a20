import ApusHTTP
import MeshControl

extension CheckReport {
  /// One proxy, from both sides: what the control plane knows of it, and what it says itself.
  mutating func proxy(_ id: String, _ client: inout APIClient, now: Timestamp) {
    let subject = "proxy \(id)"
    let known = (items("/apis/apus.dev/v1/proxies", "proxies", &client) ?? []).first { $0["id"]?.text == id }
    switch known?["status"]?.text {
    case "SYNCED": ok(subject, "has all configuration meant for it")
    case "STALE": warning(subject, "has not acknowledged the newest configuration", hint: "ask again in a second")
    case "NACKED":
      failed(
        subject, "refused configuration: \(known?["nack"]?["message"]?.text ?? "no reason given")",
        hint: "mend the object that it names; it works by the one before")
    default: failed(subject, "is not connected", hint: "see its log; it works by its last configuration")
    }
    secrets(id, subject, &client, now: now)
    endpoints(id, subject, &client)
  }

  private mutating func secrets(_ id: String, _ subject: String, _ client: inout APIClient, now: Timestamp) {
    guard let page = page("secrets", of: id, subject, &client) else { return }
    let own = (page["certificates"]?.elements ?? []).first { $0["kind"]?.text == "own" }
    guard let end = own?["notAfterSeconds"]?.double, let begin = own?["notBeforeSeconds"]?.double else {
      return failed(
        subject, "has no certificate", hint: "see its log for why the control plane did not sign its request")
    }
    let left = end - Double(now.secondsSinceEpoch)
    if left <= 0 {
      failed(subject, "its certificate has ended", hint: "compare the clocks; it asks for another by itself")
    } else if left < (end - begin) / 4 {
      warning(
        subject, "its certificate ends in \(Figures.age(seconds: Int64(left))) and was not renewed at half of its life",
        hint: "see its log for what keeps it from renewing")
    } else {
      ok(subject, "\(own?["identity"]?.text ?? "certificate"), \(Figures.age(seconds: Int64(left))) left")
    }
  }

  private mutating func endpoints(_ id: String, _ subject: String, _ client: inout APIClient) {
    guard let page = page("endpoints", of: id, subject, &client) else { return }
    // Clients are members of a service as well; nobody sends them anything.
    let workloads = items("/apis/apus.dev/v1/workloads", "workloads", &client) ?? []
    let clients = Set(
      workloads.filter { $0["status"]?["health"]?.text == "notListening" }.compactMap { $0["metadata"]?["uid"]?.text })
    var troubled = 0
    for cluster in page["clusters"]?.elements ?? [] {
      let service = "\(cluster["service"]?.text ?? ""):\(cluster["port"]?.scalarText ?? "")"
      let endpoints = (cluster["endpoints"]?.elements ?? []).filter { !clients.contains($0["uid"]?.text ?? "") }
      let bad = endpoints.filter { $0["state"]?.text != "healthy" }
      if !bad.isEmpty {
        troubled += 1
        let names = bad.prefix(3).map { "\($0["uid"]?.text ?? "?") \($0["state"]?.text ?? "")" }.joined(separator: ", ")
        let text = "\(service): \(bad.count) of \(endpoints.count) endpoints take no requests (\(names))"
        if bad.count == endpoints.count {
          failed(subject, text, hint: "`apus why --from … --to …` says what came of requests")
        } else {
          warning(subject, text, hint: "`apus proxy-config endpoints \(id)` shows all of them")
        }
      }
      for limit in cluster["limits"]?.elements ?? [] {
        guard let most = limit["limit"]?.double, let current = limit["current"]?.double, current >= most, most > 0
        else {
          continue
        }
        troubled += 1
        if limit["kind"]?.text == "adaptive" {
          warning(
            subject, "\(service): adaptiveConcurrency lets in no more than \(Int(most)) requests at a time now",
            hint: "add instances, or send less; what it refuses gets 503 with the reason overload")
          continue
        }
        warning(
          subject, "\(service): the limit on \(limit["kind"]?.text ?? "") is reached (\(Int(most)))",
          hint: "see what holds them, or raise circuitBreaker in a TrafficPolicy")
      }
    }
    if troubled == 0 { ok(subject, "every endpoint that it knows takes requests, no limit is reached") }
  }

  private mutating func page(
    _ name: String, of id: String, _ subject: String, _ client: inout APIClient
  ) -> Value? {
    do throws(CLIFailure) {
      return try client.call("GET", "/apis/apus.dev/v1/proxies/\(PercentCoding.encode(id))/\(name)")
    } catch {
      failed(
        subject, "does not tell its \(name): \(error.what)", hint: "see whether it is connected: `apus proxy-status`")
      return nil
    }
  }
}
