internal import MeshPolicy

/// Draws requests.
struct PlanWriter {
  var random: FastRandom
  let isCalm: Bool
  /// Bodies are small.
  let isNarrow: Bool
  private var nextID = 0

  init(random: FastRandom, isCalm: Bool, isNarrow: Bool) {
    self.random = random
    self.isNarrow = isNarrow
    self.isCalm = isCalm
  }

  mutating func chance(_ share: Int, of whole: Int) -> Bool { random.pick(whole) < share }

  /// Most are small, some are large.
  private mutating func size() -> Int {
    if isNarrow { return random.pick(400) }
    switch random.pick(10) {
    case 0...3: return random.pick(200)
    case 4...6: return random.pick(3000)
    case 7...8: return random.pick(40_000)
    default: return random.pick(300_000)
    }
  }

  mutating func request() -> RequestPlan {
    var plan = RequestPlan()
    nextID += 1
    plan.id = nextID
    plan.method = ["GET", "GET", "POST", "PUT", "HEAD", "POST"][random.pick(6)]
    if plan.method == "POST" || plan.method == "PUT" {
      plan.requestBytes = size()
      plan.isChunked = chance(1, of: 3)
      plan.expectsContinue = chance(1, of: 8)
    }
    plan.answerBytes = chance(1, of: 10) ? 0 : size()
    plan.framing = AnswerFraming.allCases[random.pick(3)]
    if chance(1, of: 3) { plan.delayMicroseconds = random.pick(50_000) }
    let benign: [Behaviour] = [.ordinary, .ordinary, .early, .interim, .slow]
    plan.behaviour = benign[random.pick(benign.count)]
    guard !isCalm else { return plan }
    if chance(1, of: 3) {
      plan.behaviour = Behaviour.allCases[random.pick(Behaviour.allCases.count)]
    }
    if chance(1, of: 10) { plan.status = [500, 503, 404, 429][random.pick(4)] }
    if chance(1, of: 8) { plan.leavesAfter = chance(1, of: 2) ? 0 : 1 + random.pick(20_000) }
    return plan
  }

  /// A session of bytes.
  mutating func session() -> RequestPlan {
    var plan = RequestPlan()
    nextID += 1
    plan.id = nextID
    plan.requestBytes = size()
    plan.answerBytes = plan.requestBytes
    if !isCalm, chance(1, of: 4) { plan.leavesAfter = 1 + random.pick(20_000) }
    return plan
  }
}
