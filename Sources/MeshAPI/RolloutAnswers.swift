import Hummingbird
import MeshControl

/// `POST namespaces/NS/rollouts/NAME/VERB`: what people ask of a rollout. The answer is the status after it.
struct RolloutAnswers {
  let sources: APISources

  func answer(verb: String, namespace: String, name: String, _ request: Request) async throws -> Response {
    let isFull = ["true", "1"].contains(request.parameter("full") ?? "")
    let commands: [(name: String, command: RolloutCommand)] = [
      ("promote", .promote(full: isFull)), ("pause", .pause), ("resume", .resume), ("abort", .abort), ("retry", .retry),
    ]
    guard let command = commands.first(where: { $0.name == verb })?.command else {
      let known = commands.map(\.name).joined(separator: ", ")
      throw StatusAnswer.notFound("rollouts have no verb \(verb.prefix(64)); there are \(known)")
    }
    guard let rollouts = sources.rollouts else {
      throw StatusAnswer(
        code: 503, reason: "ServiceUnavailable", message: "this control plane carries no rollouts out; ask another one")
    }
    do {
      let status = try await rollouts.perform(command, namespace: namespace, name: name)
      return APIResponder.json(
        .object([
          Value.Member("namespace", .string(namespace)), Value.Member("name", .string(name)),
          Value.Member("status", status.written ?? .null),
        ]))
    } catch {
      switch error {
      case .notNow(let why): throw StatusAnswer(code: 409, reason: "NotNow", message: why)
      case .store(let error): throw error
      }
    }
  }
}
