import ApusHTTP
import MeshControl

/// Which rollout is meant.
struct RolloutPlace {
  var namespace: String
  var name: String

  var path: String { "\(RolloutSpec.kind.path(namespace: namespace))/\(PercentCoding.encode(name))" }

  func fetch(_ client: inout APIClient) throws(CLIFailure) -> RolloutView {
    RolloutView(try client.call("GET", path))
  }
}

/// A rollout as the API gives it.
struct RolloutView {
  /// How it stands, for scripts.
  enum Outcome {
    /// The wanted version serves.
    case done
    case underWay
    /// Nothing happens until a person says something.
    case waitsForPerson
    /// Taken back, or stopped.
    case failed

    var exitStatus: ExitStatus {
      switch self {
      case .done: .success
      case .underWay, .waitsForPerson: .underWay
      case .failed: .failed
      }
    }
  }

  let object: Value

  init(_ object: Value) {
    self.object = object
  }

  var name: String { object["metadata"]?["name"]?.text ?? "" }
  var namespace: String { object["metadata"]?["namespace"]?.text ?? "" }
  var wanted: String { object["spec"]?["version"]?.text ?? "" }
  var service: String { object["spec"]?["service"]?.text ?? "" }
  var status: Value { object["status"] ?? .object([]) }
  var phase: String { status["phase"]?.text ?? "Waiting" }
  var release: Value? { status["release"] }
  var candidate: String? { status["candidateVersion"]?.text }
  var stable: String { status["stableVersion"]?.text ?? "" }
  var weight: Int { status["weight"]?.int ?? 0 }

  var spec: RolloutSpec? {
    object["spec"].flatMap { RolloutSpec.read($0, path: "spec", into: ViolationReport()) }
  }

  var strategy: String { spec.map { RolloutPlan($0).strategy } ?? "" }

  var outcome: Outcome {
    let isSeen = status["observedGeneration"] == object["metadata"]?["generation"]
    switch phase {
    case "Stopped": return .failed
    case "RolledBack": return isSeen ? .failed : .underWay
    case "Idle": return isSeen && (stable == wanted || status["settledVersion"]?.text == wanted) ? .done : .underWay
    case "Paused": return .waitsForPerson
    default: return .underWay
    }
  }

  /// `2/4`; empty where no release is under way.
  var step: String {
    guard let release, let count = release["stepCount"]?.int else { return "" }
    return "\((release["step"]?.int ?? 0) + 1)/\(count)"
  }

  func cells(showsNamespace: Bool) -> [String] {
    let cells = [
      showsNamespace ? "\(namespace)/\(name)" : name, service, phase, stable, candidate ?? "", "\(weight)%", step,
      status["message"]?.text ?? "",
    ]
    return cells.map { $0.isEmpty ? Figures.none : $0 }
  }

  /// What `-o json` shows. Members are added, never renamed.
  var document: Value {
    var members: [Value.Member] = [
      .init("namespace", .string(namespace)), .init("name", .string(name)), .init("service", .string(service)),
      .init("strategy", .string(strategy)), .init("version", .string(wanted)), .init("phase", .string(phase)),
    ]
    for name in ["reason", "message", "stableVersion", "candidateVersion", "weight"] {
      members.append(.init(name, status[name] ?? .null))
    }
    for name in ["step", "stepCount", "stepName", "startedAt", "stepStartedAt", "number"] {
      members.append(.init(name, release?[name] ?? .null))
    }
    for name in ["versions", "checks", "events"] { members.append(.init(name, status[name] ?? .list([]))) }
    return .object(members)
  }
}
