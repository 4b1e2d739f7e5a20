import ApusHTTP
import MeshControl

/// What `apus run` was asked for, checked.
struct RunPlan {
  /// What an application speaks; `auto` leaves it to its first bytes.
  enum AppProtocol: String, CaseIterable {
    case http, http2, grpc, tcp, auto
  }

  /// A port on the loopback that leads to a service.
  struct Upstream: Equatable {
    /// `NAME`, `NAME.NAMESPACE` …, as in a URL, with `:PORT` where it is not the service's port 80.
    var name: String
    var port: UInt16

    init?(_ text: String) {
      let parts = text.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, let port = UInt16(parts[1]), port > 0 else { return nil }
      let words = parts[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard let host = words.first, TextFormat.dnsSubdomain.fault(in: String(host)) == nil else { return nil }
      if words.count > 1, UInt16(words[1]).map({ $0 > 0 }) != true { return nil }
      name = String(parts[0])
      self.port = port
    }
  }

  var service: String
  /// Absent: the workload has no version.
  var version: String?
  var namespace: String
  /// Service account, the workload's identity within its namespace.
  var account: String
  /// The application's port.
  var port: UInt16
  var appProtocol: AppProtocol
  var upstreams: [Upstream]
  /// Names the workload for the life of the mesh.
  var uid: String
  /// Further labels, as `NAME=VALUE`.
  var labels: [String] = []

  /// Name of the application's port, by which a service finds it: instances of one service on one machine have
  /// different numbers.
  var portName: String { appProtocol == .auto ? "main" : appProtocol.rawValue }

  /// What all instances of one version have in common; it stands in metrics, whose number of series it bounds.
  var workloadName: String { version.map { "\(service)-\($0)" } ?? service }

  /// The label of services that `run` has made, and its value.
  static let makerLabel = (name: "app.kubernetes.io/managed-by", value: "apus-run")

  /// The service that is made where there is none. An account of another name is let in by it.
  var serviceObject: Value {
    var metadata: [Value.Member] = [
      .init("name", .string(service)), .init("namespace", .string(namespace)),
      .init("labels", .object([.init(Self.makerLabel.name, .string(Self.makerLabel.value))])),
    ]
    if account != service {
      metadata.append(
        .init("annotations", .object([.init(ServiceSpec.accountsAnnotation, .string("\(service),\(account)"))])))
    }
    return .object([
      .init("apiVersion", .string("v1")), .init("kind", .string("Service")), .init("metadata", .object(metadata)),
      .init(
        "spec",
        .object([
          .init("selector", .object([.init("app", .string(service))])),
          .init(
            "ports",
            .list([
              .object(
                [
                  .init("name", .string(portName)), .init("port", .integer(80)),
                  .init("targetPort", .string(portName)),
                ] + (appProtocol == .auto ? [] : [.init("appProtocol", .string(appProtocol.rawValue))]))
            ])),
        ])),
    ])
  }

  /// What a person is told where nothing listens on the application's port: most often a program that has a port of its
  /// own, and to which no request would ever come.
  var silence: String {
    "nothing listens on 127.0.0.1:\(port), the port that PORT tells the program. A program that only asks needs none; "
      + "one that serves listens there, or its own port is named with --port."
  }

  /// The application's environment: its port, the way into the mesh, and what it may like to know about itself.
  func applicationEnvironment(_ inherited: [String: String], forwardPort: UInt16, adminPort: UInt16) -> [String: String]
  {
    var environment = inherited
    environment["PORT"] = "\(port)"
    for name in ["HTTP_PROXY", "http_proxy"] { environment[name] = "http://127.0.0.1:\(forwardPort)" }
    for name in ["NO_PROXY", "no_proxy"] { environment[name] = "localhost,127.0.0.1,::1" }
    environment["APUS_SERVICE"] = service
    environment["APUS_NAMESPACE"] = namespace
    environment["APUS_VERSION"] = version
    environment["APUS_WORKLOAD"] = uid
    environment["APUS_ADMIN"] = "127.0.0.1:\(adminPort)"
    return environment
  }

  /// A name that no other workload has: `catalog-v1-7f3k9x2m`.
  static func makeUID(
    service: String, version: String?, using generator: inout some RandomNumberGenerator
  ) -> String {
    let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")
    let suffix = (0..<8).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }
    let clean = version?.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    return service + (clean.map { "-\(String($0))" } ?? "") + "-\(String(suffix))"
  }
}
