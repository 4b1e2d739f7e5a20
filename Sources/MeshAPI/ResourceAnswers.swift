import HTTPTypes
import Hummingbird
import MeshControl
import NIOCore

/// The verbs on objects of one kind.
struct ResourceAnswers {
  let responder: APIResponder
  let kind: KindInfo
  /// nil where the request is about every namespace.
  let namespace: String?

  private var store: any ResourceStore { responder.sources.store }

  func collection(_ request: Request) async throws -> Response {
    switch request.method {
    case .get:
      return request.parameter("watch") == "true" || request.parameter("watch") == "1"
        ? try await watch(request) : try await list(request)
    case .post:
      guard let namespace else {
        throw StatusAnswer.methodNotAllowed(
          "objects are created in a namespace; post to /namespaces/NAMESPACE/\(kind.plural)")
      }
      let resource = try await read(request, namespace: namespace, name: nil)
      let outcome = try await store.commit([.create(resource)], isDryRun: isDryRun(request))
      return answer(outcome, code: 201)
    default: throw StatusAnswer.methodNotAllowed("\(request.method) is not a verb of lists; use GET or POST")
    }
  }

  func object(_ name: String, _ request: Request) async throws -> Response {
    guard let namespace else {
      throw StatusAnswer.notFound("objects are in a namespace; ask for /namespaces/NAMESPACE/\(kind.plural)/\(name)")
    }
    let key = ResourceKey(groupKind: kind.groupKind, namespace: namespace, name: name)
    switch request.method {
    case .get:
      guard let resource = try await store.resource(key) else { throw StoreError.notFound(key) }
      return APIResponder.json(resource.value)
    case .put:
      let resource = try await read(request, namespace: namespace, name: name)
      return answer(try await store.commit([.replace(resource)], isDryRun: isDryRun(request)), code: 200)
    case .patch:
      let patch = PatchAnswer(responder: responder, key: key)
      return answer(try await patch.answer(request, isDryRun: isDryRun(request)), code: 200)
    case .delete:
      let outcome = try await store.commit([.delete(key, ifVersion: nil)], isDryRun: isDryRun(request))
      return answer(outcome, code: 200)
    default:
      throw StatusAnswer.methodNotAllowed(
        "\(request.method) is not a verb of objects here; use GET, PUT, PATCH or DELETE")
    }
  }

  private func answer(_ outcomes: [ResourceOutcome], code: Int) -> Response {
    APIResponder.json(outcomes.first?.resource.value ?? .null, code: code)
  }

  private func isDryRun(_ request: Request) -> Bool {
    ["All", "true", "1"].contains(request.parameter("dryRun") ?? "")
  }

  /// The object in the body, which must be what the URL says.
  private func read(_ request: Request, namespace: String, name: String?) async throws -> Resource {
    let read = DocumentReader.read(try await responder.body(of: request), namespace: namespace)
    guard read.violations.isEmpty, read.entries.count == 1, let resource = read.entries.first?.resource else {
      let many = Violation(path: "", reason: .tooMany, message: "the body has several objects; send one, or use apply")
      throw StatusAnswer.invalid(
        read.violations.isEmpty ? [many] : read.violations, omittedCount: read.omittedCount)
    }
    var violations: [Violation] = []
    func demand(_ path: String, _ found: String, _ due: String) {
      guard found != due else { return }
      violations.append(
        Violation(path: path, reason: .invalid, message: "is \(found) where the URL says \(due); make them the same"))
    }
    demand("kind", resource.kind.kind, kind.kind)
    demand("metadata.namespace", resource.metadata.namespace, namespace)
    if let name { demand("metadata.name", resource.metadata.name, name) }
    guard violations.isEmpty else { throw StatusAnswer.invalid(violations) }
    return resource
  }

  private func list(_ request: Request) async throws -> Response {
    let filter = try filter(request)
    let list = try await store.resources(kind.groupKind, namespace: namespace)
    return APIResponder.json(
      .object([
        Value.Member("kind", .string("\(kind.kind)List")), Value.Member("apiVersion", .string(kind.apiVersion)),
        Value.Member(
          "metadata", .object([Value.Member("resourceVersion", .string(String(list.resourceVersion)))])),
        Value.Member("items", .list(list.items.filter(filter).map(\.value))),
      ]))
  }

  /// Which objects the request's selectors choose.
  private func filter(_ request: Request) throws(StatusAnswer) -> @Sendable (Resource) -> Bool {
    let labels = try request.parameter("labelSelector").map { text throws(StatusAnswer) in try LabelQuery(text) }
    var name: String?
    if let field = request.parameter("fieldSelector"), !field.isEmpty {
      guard field.hasPrefix("metadata.name="), !field.contains(",") else {
        throw .badRequest("fieldSelector: only metadata.name=NAME is served")
      }
      name = String(field.dropFirst("metadata.name=".count))
    }
    return { [name, labels] resource in
      (name == nil || resource.metadata.name == name) && labels?.matches(resource.metadata.labels) != false
    }
  }

  // MARK: Watching

  /// Streams changes as JSON lines. Without a version, or with 0, what is there comes first.
  private func watch(_ request: Request) async throws -> Response {
    let filter = try filter(request)
    let text = request.parameter("resourceVersion") ?? ""
    guard text.isEmpty || UInt64(text) != nil else {
      throw StatusAnswer.badRequest("resourceVersion is no number; take it from a list's metadata")
    }
    var version = UInt64(text) ?? 0
    var present: [Resource] = []
    if version == 0 {
      let list = try await store.resources(kind.groupKind, namespace: namespace)
      (present, version) = (list.items.filter(filter), list.resourceVersion)
    }
    let changes = try await store.changes(after: version)
    let first = present.map { Self.line("ADDED", $0.value) }.joined()
    let isWanted = isWanted
    let body = ResponseBody { writer in
      if !first.isEmpty { try await writer.write(ByteBuffer(string: first)) }
      let feed = WatchFeed(changes)
      defer { feed.cancel() }
      for await item in feed.items {
        switch item {
        case .events(let events):
          let lines = events.filter { isWanted($0.resource) }.map { event in
            // An object that no longer matches has gone, as far as this watcher is concerned.
            let change = filter(event.resource) ? event.change : .deleted
            return Self.line(change.rawValue, event.resource.value)
          }
          if !lines.isEmpty { try await writer.write(ByteBuffer(string: lines.joined())) }
        case .beat: try await writer.write(ByteBuffer(string: "\n"))
        case .failed(let error):
          try await writer.write(ByteBuffer(string: Self.line("ERROR", StatusAnswer(error).value)))
        }
      }
      try await writer.finish(nil)
    }
    return Response(status: .ok, headers: [.contentType: "application/json"], body: body)
  }

  private var isWanted: @Sendable (Resource) -> Bool {
    { [kind, namespace] resource in
      resource.kind == kind && (namespace == nil || resource.metadata.namespace == namespace)
    }
  }

  private static func line(_ change: String, _ object: Value) -> String {
    Value.object([Value.Member("type", .string(change)), Value.Member("object", object)]).json() + "\n"
  }
}
