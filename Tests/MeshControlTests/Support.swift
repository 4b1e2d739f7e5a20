import MeshControl

/// Reads a JSON text; a test whose text is no JSON gets null and fails where it looks.
func value(_ json: String) -> Value {
  (try? JSONReader.read(Array(json.utf8))) ?? .null
}

/// Reads one resource and says what was wrong with it.
func read(_ json: String, namespace: String = "default") -> (resource: Resource?, violations: [Violation]) {
  let report = ViolationReport()
  let resource = Resource.read(value(json), namespace: namespace, into: report)
  return (resource, report.violations)
}

/// The violations as `path reason`, for comparing.
func lines(_ violations: [Violation]) -> [String] {
  violations.map { "\($0.path) \($0.reason.rawValue)" }
}

/// An HTTPRoute whose rules are `rules`, attached to the service `shop`.
func route(_ rules: String, name: String = "r", namespace: String = "default", parent: String? = nil) -> String {
  let parent = parent ?? #"{"group": "", "kind": "Service", "name": "shop"}"#
  return """
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
     "metadata": {"name": "\(name)", "namespace": "\(namespace)"},
     "spec": {"parentRefs": [\(parent)], "rules": \(rules)}}
    """
}

/// A service with one port, choosing `app: NAME` unless told otherwise.
func service(
  _ name: String, namespace: String = "default", ports: String? = nil, selector: String? = nil
) -> String {
  """
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "\(name)", "namespace": "\(namespace)"},
   "spec": {"selector": \(selector ?? "{\"app\": \"\(name)\"}"),
            "ports": \(ports ?? "[{\"port\": 80, \"targetPort\": 8080, \"appProtocol\": \"http\"}]")}}
  """
}

/// A workload whose labels are attested, whatever its account.
func workload(
  _ uid: String, namespace: String = "default", labels: [String: String], ports: [MeshWorkload.Port]? = nil
) -> MeshWorkload {
  var workload = MeshWorkload(
    uid: uid, name: uid, namespace: namespace, account: "app", trustDomain: "cluster.local", labels: labels,
    address: "127.0.0.1", ports: ports ?? [MeshWorkload.Port(appPort: 8080, meshPort: 15006)])
  workload.hasAttestedLabels = true
  return workload
}
