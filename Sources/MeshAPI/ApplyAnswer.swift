import Hummingbird
import MeshControl

/// `POST apply`: many objects in one text, all of them or none.
struct ApplyAnswer {
  let responder: APIResponder

  func answer(_ request: Request) async throws -> Response {
    let namespace = request.parameter("namespace").flatMap { $0.isEmpty ? nil : $0 } ?? "default"
    if let fault = TextFormat.dnsLabel.fault(in: namespace) {
      throw StatusAnswer.badRequest("the parameter namespace \(fault)")
    }
    let isDryRun = ["All", "true", "1"].contains(request.parameter("dryRun") ?? "")
    let read = DocumentReader.read(try await responder.body(of: request), namespace: namespace)
    guard read.violations.isEmpty else {
      throw StatusAnswer.invalid(read.violations, omittedCount: read.omittedCount)
    }
    let store = responder.sources.store
    let outcomes = try await store.commit(read.entries.map { .apply($0.resource) }, isDryRun: isDryRun)
    var index = MeshIndex(resources: try await store.resources(nil, namespace: nil).items)
    for outcome in outcomes where isDryRun { _ = index.put(outcome.resource) }
    return APIResponder.json(
      .object([
        Value.Member("dryRun", .boolean(isDryRun)),
        Value.Member("items", .list(outcomes.map { Self.item($0, index: index) })),
      ]))
  }

  private static func item(_ outcome: ResourceOutcome, index: MeshIndex) -> Value {
    let resource = outcome.resource
    let warnings = index.warnings(about: resource.key)
    return .object(
      [
        Value.Member("kind", .string(resource.kind.kind)),
        Value.Member("apiVersion", .string(resource.kind.apiVersion)),
        Value.Member("namespace", .string(resource.metadata.namespace)),
        Value.Member("name", .string(resource.metadata.name)),
        Value.Member("result", .string(outcome.result.rawValue)),
        Value.Member("resourceVersion", .string(resource.metadata.resourceVersion ?? "")),
      ] + (warnings.isEmpty ? [] : [Value.Member("warnings", .list(warnings.map { .string($0) }))]))
  }
}
