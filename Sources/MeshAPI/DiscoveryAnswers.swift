import HTTPTypes
import Hummingbird
import MeshControl

/// What is served, as clients of the Kubernetes API ask for it.
enum DiscoveryAnswers {
  private static let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]

  /// `/api` and `/apis`.
  static func root(_ name: String, _ request: Request) throws(StatusAnswer) -> Response {
    try demandGet(request)
    guard name == "apis" else {
      return APIResponder.json(
        .object([
          Value.Member("kind", .string("APIVersions")), Value.Member("versions", .list([.string("v1")])),
        ]))
    }
    return APIResponder.json(
      .object([
        Value.Member("kind", .string("APIGroupList")), Value.Member("apiVersion", .string("v1")),
        Value.Member("groups", .list(groups.map(group))),
      ]))
  }

  /// `/apis/GROUP`.
  static func group(_ name: String, _ request: Request) throws(StatusAnswer) -> Response {
    try demandGet(request)
    guard groups.contains(name) else {
      throw .notFound("there is no group \(name.prefix(64)); there are \(groups.joined(separator: ", "))")
    }
    return APIResponder.json(group(name))
  }

  /// `/api/v1` and `/apis/GROUP/VERSION`.
  static func version(group: String, version: String, _ request: Request) throws(StatusAnswer) -> Response {
    try demandGet(request)
    let kinds = KindRegistry.kinds.filter { $0.group == group && $0.version == version }
    guard let apiVersion = kinds.first?.apiVersion else {
      throw .notFound("there is no version \(version.prefix(32)) of that group; see /api and /apis")
    }
    var resources = kinds.map { resource($0.plural, $0.singular, $0.kind, $0.shortNames, verbs) }
    if group == "apus.dev" {
      resources.append(resource("workloads", "workload", "Workload", ["wl"], ["get", "list"]))
    }
    return APIResponder.json(
      .object([
        Value.Member("kind", .string("APIResourceList")), Value.Member("apiVersion", .string("v1")),
        Value.Member("groupVersion", .string(apiVersion)), Value.Member("resources", .list(resources)),
      ]))
  }

  /// `/openapi/v2` and `/openapi/v3`: schemas of nothing. kubectl asks for them to check objects before it sends them;
  /// what has no schema it leaves to the server, which tells every mistake.
  static func schema(_ name: String, _ request: Request, version: String) throws(StatusAnswer) -> Response {
    try demandGet(request)
    switch name {
    case "v2" where request.headers[.accept]?.contains("proto-openapi.spec.v2") == true:
      // What clients ask for has an @ in it, which no media type may have.
      return Response(
        status: .ok, headers: [.contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"])
    case "v2":
      let information = Value.object([
        Value.Member("title", .string("apus")), Value.Member("version", .string(version)),
      ])
      return APIResponder.json(
        .object([
          Value.Member("swagger", .string("2.0")), Value.Member("info", information),
          Value.Member("paths", .object([])),
        ]))
    case "v3": return APIResponder.json(.object([Value.Member("paths", .object([]))]))
    default: throw .notFound("there are /openapi/v2 and /openapi/v3")
    }
  }

  private static var groups: [String] {
    Set(KindRegistry.kinds.map(\.group)).filter { !$0.isEmpty }.sorted()
  }

  private static func group(_ name: String) -> Value {
    let versions = Set(KindRegistry.kinds.filter { $0.group == name }.map(\.version)).sorted().map { version in
      Value.object([
        Value.Member("groupVersion", .string("\(name)/\(version)")), Value.Member("version", .string(version)),
      ])
    }
    return .object([
      Value.Member("kind", .string("APIGroup")), Value.Member("apiVersion", .string("v1")),
      Value.Member("name", .string(name)), Value.Member("versions", .list(versions)),
      Value.Member("preferredVersion", versions.first ?? .null),
    ])
  }

  private static func resource(
    _ plural: String, _ singular: String, _ kind: String, _ shortNames: [String], _ verbs: [String]
  ) -> Value {
    .object([
      Value.Member("name", .string(plural)), Value.Member("singularName", .string(singular)),
      Value.Member("namespaced", .boolean(true)), Value.Member("kind", .string(kind)),
      Value.Member("verbs", .list(verbs.map { .string($0) })),
      Value.Member("shortNames", .list(shortNames.map { .string($0) })),
    ])
  }

  private static func demandGet(_ request: Request) throws(StatusAnswer) {
    guard request.method == .get else { throw .methodNotAllowed("only GET is served here") }
  }
}
