import ApusHTTP
import MeshControl

/// What proxies have found out about ports of a service whose protocol nobody declares.
struct LearnedPorts {
  /// A port as one proxy knows it.
  struct Finding: Equatable {
    let port: Int
    let proxy: String
    /// Whether the server has been seen to speak first; else each connection's first bytes tell.
    let isServerFirst: Bool
  }

  /// Proxies that are asked at most.
  private static let proxyLimit = 16

  let findings: [Finding]

  /// Asks the proxies that are connected. One that does not answer is left out: what is asked for does not hang on it.
  init(service: String, namespace: String, _ client: inout APIClient) {
    var found: [Finding] = []
    let proxies = (try? client.call("GET", "/apis/apus.dev/v1/proxies"))?["items"]?.elements ?? []
    let connected = proxies.filter { $0["status"]?.text != "DISCONNECTED" }.compactMap { $0["id"]?.text }
    for id in connected.prefix(Self.proxyLimit) {
      let page = try? client.call("GET", "/apis/apus.dev/v1/proxies/\(PercentCoding.encode(id))/endpoints")
      for cluster in page?["clusters"]?.elements ?? [] where cluster["service"]?.text == "\(namespace)/\(service)" {
        guard let detection = cluster["detection"]?.text, !detection.isEmpty, let port = cluster["port"]?.int else {
          continue
        }
        found.append(Finding(port: port, proxy: id, isServerFirst: detection == "serverFirst"))
      }
    }
    findings = found
  }

  /// As data: one entry for each port and proxy.
  var value: Value {
    .list(
      findings.map { finding in
        .object([
          .init("port", .integer(finding.port)), .init("proxy", .string(finding.proxy)),
          .init("learned", .string(finding.isServerFirst ? "serverFirst" : "firstBytes")),
        ])
      })
  }

  /// For people: a line for each port.
  var lines: [String] {
    Set(findings.map(\.port)).sorted().map { port in
      let learned = findings.filter { $0.port == port && $0.isServerFirst }.map(\.proxy).sorted()
      let beginning = "Protocol    \(port): not declared, told from the first bytes"
      return learned.isEmpty
        ? beginning : beginning + "; server speaks first (learned by \(learned.joined(separator: ", ")))"
    }
  }
}
