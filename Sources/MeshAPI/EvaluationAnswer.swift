import Hummingbird
import MeshControl

/// `POST eval`: what the objects of a text would do to routing. Nothing is changed.
struct EvaluationAnswer {
  let responder: APIResponder

  func answer(_ request: Request) async throws -> Response {
    guard let evaluator = responder.sources.evaluator else {
      throw StatusAnswer(code: 503, reason: "ServiceUnavailable", message: "changes are not evaluated here")
    }
    let namespace = request.parameter("namespace").flatMap { $0.isEmpty ? nil : $0 } ?? "default"
    if let fault = TextFormat.dnsLabel.fault(in: namespace) {
      throw StatusAnswer.badRequest("the parameter namespace \(fault)")
    }
    let read = DocumentReader.read(try await responder.body(of: request), namespace: namespace)
    guard read.violations.isEmpty else {
      throw StatusAnswer.invalid(read.violations, omittedCount: read.omittedCount)
    }
    let questions = try Self.questions(request)
    let evaluation = await evaluator.evaluate(read.entries.map(\.resource), questions: questions)
    return APIResponder.json(Self.value(evaluation))
  }

  /// One question by parameters; none where `to` is not given.
  private static func questions(_ request: Request) throws(StatusAnswer) -> [EvaluationQuestion] {
    guard let to = request.parameter("to"), !to.isEmpty else { return [] }
    let path = request.parameter("path") ?? "/"
    guard path.hasPrefix("/") else { throw .badRequest("the parameter path begins with /") }
    // One `name=value` a line.
    let headers = (request.parameter("headers") ?? "").split(separator: "\n").map { line in
      let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      return EvaluationQuestion.Header(name: parts[0], value: parts.count > 1 ? parts[1] : "")
    }
    return [
      EvaluationQuestion(
        from: request.parameter("from") ?? "", to: to, path: path, method: request.parameter("method") ?? "GET",
        headers: headers)
    ]
  }

  private static func value(_ evaluation: Evaluation) -> Value {
    let answers = evaluation.answers.map { answer in
      Value.object([
        Value.Member("from", .string(answer.question.from)), Value.Member("to", .string(answer.question.to)),
        Value.Member("method", .string(answer.question.method)), Value.Member("path", .string(answer.question.path)),
        Value.Member("before", .string(answer.before)), Value.Member("after", .string(answer.after)),
        Value.Member("changed", .boolean(answer.before != answer.after)),
      ])
    }
    let effects = evaluation.effects.map { effect in
      Value.object([
        Value.Member("from", .string(effect.from)), Value.Member("to", .string(effect.to)),
        Value.Member("requestsPerHour", Value(.number(effect.requestsPerHour.rounded()))),
        Value.Member("before", .string(effect.before)), Value.Member("after", .string(effect.after)),
        Value.Member("sampleCount", .integer(effect.sampleCount)),
      ])
    }
    let conditions = evaluation.conditions.map { condition in
      Value.object([
        Value.Member("from", .string(condition.from)), Value.Member("to", .string(condition.to)),
        Value.Member("carries", .string(condition.carries)),
        Value.Member("mostPerHour", Value(.number(condition.mostPerHour.rounded()))),
        Value.Member("after", .string(condition.after)), Value.Member("sentence", .string(condition.sentence)),
      ])
    }
    return .object([
      Value.Member("answers", .list(answers)),
      Value.Member("sentences", .list(evaluation.sentences.map(Value.string))),
      Value.Member("effects", .list(effects)), Value.Member("conditions", .list(conditions)),
      Value.Member("unchangedPerHour", Value(.number(evaluation.unchangedPerHour.rounded()))),
      Value.Member("unknownPerHour", Value(.number(evaluation.unknownPerHour.rounded()))),
      Value.Member("problems", .list(evaluation.problems.map(Value.string))),
    ])
  }
}
