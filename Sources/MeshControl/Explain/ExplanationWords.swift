import MeshModel
import MeshWire

/// The first line of an explanation.
enum Sentence {
  static func text(_ hop: Hop) -> String {
    let told = hop.decisive
    if told.isConnection { return connection(hop, told) }
    let request = "\(what(told)) from \(hop.callerName) to \(hop.calleeText)"
    if let reason = Reason(name: told.reason), !told.isUnretried {
      return "\(request) \(outcome(told, reason)): \(lowered(reason.sentence))" + notTriedAgain(hop)
    }
    if told.status >= 500 || told.isFailure {
      let status = told.grpcStatus.map { "gRPC status \($0)" } ?? "\(told.status)"
      return "\(request) was answered with \(status) by the application \(hop.answererName) itself; "
        + "the mesh passed the answer on." + notTriedAgain(hop)
    }
    if told.retries > 0 {
      let before = "\(request) \(ending(told)) after \(times(told.retries, "retry", "retries")); "
      if let last = told.failedAttempts.last, last.isOvertaken {
        return before + "the attempt before had taken long, and a second one beside it was quicker."
      }
      if let last = told.failedAttempts.last, last.reason.isEmpty {
        let status = last.grpcStatus.map { "gRPC status \($0)" } ?? "\(last.status)"
        return before + "the attempt before had been answered with \(status)."
      }
      if let reason = Reason(name: told.attemptReason) {
        return before + "the attempt before had failed: \(lowered(reason.sentence))"
      }
    }
    if told.delayMilliseconds > 0 {
      return
        "\(request) \(ending(told)) after \(duration(told.durationMicroseconds)), of which a fault that is put in on "
        + "purpose took \(told.delayMilliseconds) ms."
    }
    return "\(request) \(ending(told)) after \(duration(told.durationMicroseconds))."
  }

  /// A connection that ended before there was a request.
  private static func connection(_ hop: Hop, _ record: DecisionRecord) -> String {
    let reason = Reason(name: record.reason)
    let sentence = reason.map { lowered($0.sentence) } ?? "it ended before there was a request."
    if !record.endpoint.isEmpty {
      return "A connection from \(hop.callerName) to \(hop.calleeText) at \(record.endpoint) was closed: \(sentence)"
    }
    let from = record.peer.isEmpty ? "" : " from \(record.peer)"
    let known = [record.workload, record.source].first { !$0.isEmpty && $0 != "unknown" } ?? record.proxy
    return "A connection\(from) to the proxy of \(known) was refused: \(sentence)"
  }

  /// Why a failed attempt was the last, where that was not for the failure itself.
  private static func notTriedAgain(_ hop: Hop) -> String {
    hop.retryRefusal.map { " It was not tried again: \(lowered($0.sentence))" } ?? ""
  }

  private static func what(_ record: DecisionRecord) -> String {
    if record.isTunnel { return "A connection" }
    return record.path.isEmpty ? "A request" : "\(record.method) \(record.path)"
  }

  private static func outcome(_ record: DecisionRecord, _ reason: Reason) -> String {
    if [.directResponse, .redirect, .corsPreflight, .maxForwardsReached].contains(reason) {
      return "was answered with \(record.status) by the mesh"
    }
    if record.status == 0 { return record.isTunnel ? "was ended" : "was broken off" }
    if record.isLocalReply {
      let side = record.reporter == .source ? "the caller" : "the service"
      return "was refused with \(record.answer) by the proxy of \(side)"
    }
    return reason.breaksAnswer
      ? "was broken off after the head of its answer (\(record.status))" : "ended with \(record.answer)"
  }

  private static func ending(_ record: DecisionRecord) -> String {
    if record.isTunnel { return "ended" }
    let isSuccess = record.status < 400 && record.grpcStatus ?? 0 == 0
    return (isSuccess ? "succeeded with " : "was answered with ") + record.answer
  }

  static func times(_ count: UInt32, _ one: String, _ many: String) -> String {
    count == 1 ? "one \(one)" : "\(count) \(many)"
  }

  static func duration(_ microseconds: UInt64) -> String {
    if microseconds < 10_000 {
      let tenths = (microseconds + 50) / 100
      return "\(tenths / 10).\(tenths % 10) ms"
    }
    return microseconds < 10_000_000 ? "\(microseconds / 1000) ms" : "\(microseconds / 1_000_000) s"
  }

  /// A sentence as the second half of another: `The endpoint …` becomes `the endpoint …`, `TLS …` stays.
  static func lowered(_ sentence: StaticString) -> String {
    let text = "\(sentence)"
    guard let first = text.first, let second = text.dropFirst().first, second.isLowercase || second == " " else {
      return text
    }
    return first.lowercased() + text.dropFirst()
  }
}

extension Hop {
  /// What each end did, in words.
  var steps: [Explanation.Step] {
    var steps: [Explanation.Step] = []
    if let source { steps += attemptSteps(source) + [clientStep(source)] }
    if !destinations.isEmpty {
      steps += destinations.map(serverStep)
    } else if let source, source.attempts > 0, !source.destinationIdentity.isEmpty {
      steps.append(
        .init(
          place: "proxy of \(source.workload)",
          text: "keeps nothing of it: it did not arrive, or was too long ago"))
    }
    return steps
  }

  /// The attempts that failed, one by one; of many the first three and the last.
  private func attemptSteps(_ record: DecisionRecord) -> [Explanation.Step] {
    let place = "proxy of \(name(record.source, record.proxy))"
    let kept = record.failedAttempts
    return kept.enumerated().map { index, attempt in
      let isLast = index == kept.count - 1
      let number = isLast ? max(Int(record.failedAttemptCount), kept.count) : index + 1
      let workload = attempt.workload.isEmpty ? "" : "\(attempt.workload) at "
      let status = attempt.grpcStatus.map { "gRPC status \($0)" } ?? "\(attempt.status)"
      let failure = attempt.reason.isEmpty ? "answered \(status)" : attempt.reason
      let outcome = attempt.isOvertaken ? "overtaken by the next attempt" : failure
      return .init(
        place: place,
        text: "attempt \(number), endpoint \(workload)\(attempt.endpoint): \(outcome) after "
          + Sentence.duration(attempt.microseconds))
    }
  }

  private func clientStep(_ record: DecisionRecord) -> Explanation.Step {
    var parts: [String] = []
    let target = record.service.isEmpty ? record.authority : "\(record.destinationNamespace)/\(record.service)"
    if !target.isEmpty { parts.append("for \(target)") }
    if !record.route.isEmpty { parts.append("route \(record.route)") }
    if !record.endpoint.isEmpty {
      let workload = record.workload.isEmpty ? "" : "\(record.workload) at "
      parts.append("endpoint \(workload)\(record.endpoint), \(record.isMutualTLS ? "" : "no ")mutual TLS")
    }
    if record.attempts > 1 { parts.append("\(record.attempts) attempts") }
    if let refusal = retryRefusal {
      parts.append("not tried again: \(refusal.name)")
    } else if !record.attemptReason.isEmpty, record.attemptReason != record.reason, record.failedAttempts.isEmpty {
      parts.append("an attempt failed: \(record.attemptReason)")
    }
    if record.isRaced { parts.append("sent again at once, since the endpoint was just closing the first connection") }
    if record.delayMilliseconds > 0 {
      parts.append("held back \(record.delayMilliseconds) ms by \(record.policy)")
    }
    return .init(
      place: "proxy of \(name(record.source, record.proxy))", text: (parts + [end(record)]).joined(separator: "; "))
  }

  private func serverStep(_ record: DecisionRecord) -> Explanation.Step {
    if record.isConnection { return connectionStep(record) }
    let caller =
      record.sourceIdentity.isEmpty || record.sourceIdentity == "unknown"
      ? "from a caller without identity" : "from \(record.sourceIdentity)"
    var parts = [caller, record.isMutualTLS ? "mutual TLS" : "plaintext"]
    if record.isAnswered, record.reason.isEmpty {
      parts.append("the application answered in \(Sentence.duration(record.upstreamMicroseconds))")
    }
    return .init(
      place: "proxy of \(name(record.workload, record.proxy))", text: (parts + [end(record)]).joined(separator: "; "))
  }

  private func connectionStep(_ record: DecisionRecord) -> Explanation.Step {
    .init(
      place: "proxy of \(name(record.workload, record.proxy))",
      text: "a connection from \(record.peer.isEmpty ? "somebody" : record.peer); \(record.reason) after "
        + Sentence.duration(record.durationMicroseconds))
  }

  private func name(_ workload: String, _ proxy: String) -> String {
    workload.isEmpty || workload == "unknown" ? proxy : workload
  }

  private func end(_ record: DecisionRecord) -> String {
    let reason = record.reason.isEmpty ? "" : " (\(record.reason))"
    let status = record.status == 0 ? "ended" : record.answer
    return "\(status)\(reason) after \(Sentence.duration(record.durationMicroseconds))"
  }
}

extension DecisionRecord {
  /// What it was answered with, for people: the status of gRPC says more than the 200 that carries it.
  var answer: String {
    guard status == 200, let grpcStatus, grpcStatus != 0 else { return "\(status)" }
    return "gRPC status \(grpcStatus)"
  }
}
