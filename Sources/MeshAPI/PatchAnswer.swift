import HTTPTypes
import Hummingbird
import MeshControl

/// `PATCH` of one object: what is there, changed by what the body says, checked and stored like any other change.
struct PatchAnswer {
  /// How the body is to be read, from its Content-Type.
  enum Form: String {
    /// RFC 7396.
    case merge = "application/merge-patch+json"
    /// The same, with lists of Services merged by their keys.
    case strategic = "application/strategic-merge-patch+json"
    /// RFC 6902.
    case operations = "application/json-patch+json"

    init(contentType: String?) throws(StatusAnswer) {
      let name = contentType?.split(separator: ";").first.map { $0.filter { !$0.isWhitespace }.lowercased() } ?? ""
      guard let form = Form(rawValue: name) else {
        throw StatusAnswer(
          code: 415, reason: "UnsupportedMediaType",
          message: "patches are taken as \(Form.merge.rawValue), \(Form.strategic.rawValue) and "
            + "\(Form.operations.rawValue), not as \"\(name.prefix(64))\"; with kubectl: --type=merge")
      }
      self = form
    }
  }

  let responder: APIResponder
  let key: ResourceKey
  /// How often a patch is made anew when the object changes meanwhile and the patch names no version.
  private static let attempts = 5

  /// - Returns: what became of it.
  func answer(_ request: Request, isDryRun: Bool) async throws -> [ResourceOutcome] {
    let form = try Form(contentType: request.headers[.contentType])
    let patch: Value
    do {
      patch = try JSONReader.read(try await responder.body(of: request))
    } catch let failure as JSONReader.Failure {
      throw StatusAnswer.badRequest("the patch is no JSON: \(failure.message)")
    }
    guard form == .operations || patch.members != nil else {
      throw StatusAnswer.badRequest("the patch is \(patch.typeName), not an object")
    }
    // A list of operations names versions by its tests.
    let namesVersion = patch["metadata"]?["resourceVersion"] != nil
    for attempt in 1... {
      do {
        return try await commit(patch, form, isDryRun)
      } catch StoreError.conflict(_, _, _) where !namesVersion && attempt < Self.attempts {
        continue
      }
    }
    return []
  }

  private func commit(_ patch: Value, _ form: Form, _ isDryRun: Bool) async throws -> [ResourceOutcome] {
    let store = responder.sources.store
    guard let present = try await store.resource(key) else { throw StoreError.notFound(key) }
    let value = try Self.changed(present.value, by: patch, form)
    let report = ViolationReport()
    guard let resource = Resource.read(value, namespace: key.namespace, into: report) else {
      throw StatusAnswer.invalid(report.violations, omittedCount: report.omittedCount)
    }
    guard resource.key == key else {
      throw StatusAnswer.badRequest("a patch cannot make the object another: \(key) would become \(resource.key)")
    }
    return try await store.commit([.replace(resource)], isDryRun: isDryRun)
  }

  private static func changed(_ present: Value, by patch: Value, _ form: Form) throws(StatusAnswer) -> Value {
    switch form {
    case .merge: return present.merged(with: patch)
    case .strategic: return present.strategicallyMerged(with: patch)
    case .operations:
      do throws(JSONPatch.Failure) {
        var operations = try JSONPatch(patch)
        return try operations.applied(to: present)
      } catch {
        throw error.isUnmetTest
          ? StatusAnswer(code: 409, reason: "Conflict", message: error.message) : .badRequest(error.message)
      }
    }
  }
}
