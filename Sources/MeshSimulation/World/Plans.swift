/// What an application does with a request.
enum Behaviour: Int, CaseIterable {
  /// Reads it whole, then answers.
  case ordinary
  /// Answers at its head, and reads the rest.
  case early
  /// Answers at its head and closes without reading the rest.
  case earlyClose
  /// Resets the connection when the head has come.
  case dies
  /// Resets, or ends, in the middle of the answer.
  case diesAnswering
  /// Never answers.
  case silent
  /// Answers, and closes the connection without having said so.
  case closesAfter
  /// Sends 103 first.
  case interim
  /// Answers piece by piece, with pauses.
  case slow

  /// Whether a mesh without faults always gets an answer.
  var isBenign: Bool {
    switch self {
    case .ordinary, .early, .interim, .slow: true
    case .earlyClose, .dies, .diesAnswering, .silent, .closesAfter: false
    }
  }
}

/// How an answer says where it ends.
enum AnswerFraming: Int, CaseIterable {
  case length, chunked, untilClose
}

/// One request of a scenario: what the client sends and what the application is to do. The application reads its part
/// out of the path, so that it needs to know nothing else.
struct RequestPlan {
  var id = 0
  var method = "GET"
  var requestBytes = 0
  var isChunked = false
  var expectsContinue = false
  var behaviour = Behaviour.ordinary
  var status = 200
  var answerBytes = 0
  var framing = AnswerFraming.length
  var delayMicroseconds = 0
  /// The client leaves after so many bytes of the answer's body, or, where it is 0, before any of it; nil: it stays.
  var leavesAfter: Int?

  /// Whether the request may be made twice.
  var isIdempotent: Bool { method != "POST" }

  var path: String {
    "/\(id)?b=\(behaviour.rawValue)&s=\(status)&n=\(answerBytes)&f=\(framing.rawValue)&d=\(delayMicroseconds)"
  }

  init() {}

  /// What an application reads out of method and path.
  init?(method: String, path: String) {
    let parts = path.dropFirst().split(separator: "?")
    guard parts.count == 2, let id = Int(parts[0]) else { return nil }
    var numbers: [Substring: Int] = [:]
    for pair in parts[1].split(separator: "&") {
      let halves = pair.split(separator: "=")
      guard halves.count == 2, let number = Int(halves[1]) else { return nil }
      numbers[halves[0]] = number
    }
    guard let behaviour = numbers["b"].flatMap(Behaviour.init(rawValue:)), let status = numbers["s"],
      let answerBytes = numbers["n"], let framing = numbers["f"].flatMap(AnswerFraming.init(rawValue:)),
      let delay = numbers["d"]
    else { return nil }
    self.id = id
    self.method = method
    self.behaviour = behaviour
    self.status = status
    self.answerBytes = answerBytes
    self.framing = framing
    delayMicroseconds = delay
  }

  /// Byte `index` of the request's body.
  func requestByte(_ index: Int) -> UInt8 { Self.byte(id, index, 17) }
  /// Byte `index` of the answer's body.
  func answerByte(_ index: Int) -> UInt8 { Self.byte(id, index, 101) }

  static func byte(_ id: Int, _ index: Int, _ salt: UInt32) -> UInt8 {
    let mixed = UInt32(truncatingIfNeeded: index) &* 2_654_435_761 &+ UInt32(truncatingIfNeeded: id) &* 40_503 &+ salt
    return UInt8(truncatingIfNeeded: mixed >> 13)
  }
}

/// How a request ended, as its client saw it.
enum RequestOutcome: Equatable {
  /// The application's answer, whole.
  case answered
  /// The mesh's own answer, with its reason.
  case refused(String)
  /// A reset, or an end before the answer was whole.
  case broken
  /// The client left.
  case left
}

/// What everybody has seen, and what of it must not be.
final class Ledger {
  private(set) var plans: [Int: RequestPlan] = [:]
  private(set) var outcomes: [Int: RequestOutcome] = [:]
  private(set) var attempts: [Int: Int] = [:]
  private(set) var violations: [String] = []
  /// Nothing but the plans themselves makes requests fail.
  var isFaultless = false
  /// The proxy takes no more connections: what no application has seen may go unanswered.
  var isClosing = false
  /// Attempts that applications saw.
  private(set) var totalAttempts = 0

  func violate(_ text: String) {
    if violations.count < 20 { violations.append(text) }
  }

  func add(_ plan: RequestPlan) { plans[plan.id] = plan }

  var unanswered: [Int] { plans.keys.filter { outcomes[$0] == nil }.sorted() }

  func share(_ isWanted: (RequestOutcome) -> Bool) -> Int { outcomes.values.filter(isWanted).count }

  /// An application has got the head of a request.
  func seen(_ plan: RequestPlan) {
    totalAttempts += 1
    attempts[plan.id, default: 0] += 1
    if attempts[plan.id] ?? 0 > 1, !plan.isIdempotent {
      violate("request \(plan.id) (\(plan.method)) reached applications more than once")
    }
  }

  func attempts(_ id: Int) -> Int { attempts[id] ?? 0 }

  /// An application has got a piece of a request's body.
  func checkRequest(_ plan: RequestPlan, at offset: Int, _ bytes: ArraySlice<UInt8>) {
    for (index, byte) in bytes.enumerated() where byte != plan.requestByte(offset + index) {
      return violate("request \(plan.id): byte \(offset + index) of its body is wrong at the application")
    }
    if let whole = plans[plan.id], offset + bytes.count > whole.requestBytes {
      violate("request \(plan.id): the application got more body than was sent")
    }
  }

  /// An application has got the end of a request.
  func requestWhole(_ plan: RequestPlan, _ count: Int) {
    guard let whole = plans[plan.id] else { return violate("request \(plan.id) was never made") }
    if whole.requestBytes != count {
      violate("request \(plan.id): the application took \(count) bytes of \(whole.requestBytes) for the whole")
    }
  }

  /// A client has got a piece of an answer's body.
  func checkAnswer(_ plan: RequestPlan, at offset: Int, _ bytes: ArraySlice<UInt8>) {
    for (index, byte) in bytes.enumerated() where byte != plan.answerByte(offset + index) {
      return violate("request \(plan.id): byte \(offset + index) of the answer's body is wrong at the client")
    }
  }

  /// A client has got what it takes for the whole answer of an application.
  func answerWhole(_ plan: RequestPlan, status: Int, _ count: Int) {
    let expected = plan.method == "HEAD" ? 0 : plan.answerBytes
    if count != expected {
      violate("request \(plan.id): the client took \(count) bytes of \(expected) for the whole answer")
    }
    if status != plan.status { violate("request \(plan.id): status \(status) in place of \(plan.status)") }
    end(plan, .answered)
  }

  func end(_ plan: RequestPlan, _ outcome: RequestOutcome) {
    if let former = outcomes[plan.id] {
      return violate("request \(plan.id) ended twice: \(former), then \(outcome)")
    }
    outcomes[plan.id] = outcome
    if outcome == .broken, isClosing, attempts(plan.id) == 0 {
      outcomes[plan.id] = .left
      return
    }
    // A connection that its server was just closing costs a request whose body is too large to be kept.
    if outcome == .refused("upstream_reset"), plan.requestBytes > 65_536 { return }
    if isFaultless, plan.behaviour.isBenign, outcome != .answered, outcome != .left {
      violate("request \(plan.id) ended with \(outcome) and nothing was wrong: \(plan.method) \(plan.path)")
    }
  }
}
