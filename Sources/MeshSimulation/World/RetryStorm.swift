internal import MeshPolicy
internal import MeshProxy
internal import MeshReactor

/// A storm of retries: every other application answers 503 to everything, and the rest can do so much and no more.
struct RetryStorm {
  var applications: Int
  /// Of each application that works.
  var capacity: HTTP1Application.Capacity
  /// How much is asked, in proportion to what the healthy half can do.
  var load: Double

  /// How long clients ask, nanoseconds.
  static let time: UInt64 = 10_000_000_000
  /// Longest pause of a client between two requests, nanoseconds.
  static let thinkTime: UInt64 = 400_000_000
  /// Of what the healthy half can carry so much must succeed.
  static let leastShare = 0.95

  init(_ random: inout FastRandom) {
    applications = [2, 4, 8, 20][random.pick(4)]
    capacity = HTTP1Application.Capacity(slots: applications > 4 ? 1 : 1 + random.pick(4), nanoseconds: 20_000_000)
    load = [0.5, 0.9, 1, 1.5, 3][random.pick(5)]
  }

  /// Requests a second that the healthy half can do.
  var rate: Double { capacity.rate * Double(applications / 2) }

  /// So many clients ask for `load` times what the healthy half can do while answers take no longer than the work.
  var clients: Int { max(1, Int(rate * load * Double(Self.thinkTime / 2 + capacity.nanoseconds) / 1e9)) }
}

extension World {
  /// Clients that ask for something small again and again.
  func addSteadyClients(_ writer: inout PlanWriter, _ storm: RetryStorm) {
    let most = Int(RetryStorm.time / 50_000_000)
    for _ in 0..<storm.clients {
      let plans = (0..<most).map { _ in
        var plan = writer.request()
        plan.method = "GET"
        plan.requestBytes = 0
        plan.isChunked = false
        plan.expectsContinue = false
        plan.behaviour = .ordinary
        plan.answerBytes = min(plan.answerBytes, 500)
        plan.framing = .length
        plan.delayMicroseconds = 0
        return plan
      }
      let client = HTTP1Client(kernel, ledger, port: Mesh.webPort, host: Mesh.host, plans: plans, depth: 1)
      client.thinkTime = RetryStorm.thinkTime
      client.acceptsStatus = 503
      client.stopsAt = kernel.now + RetryStorm.time
      add(client) { client.isDone }
    }
    kernel.after(RetryStorm.time) { [weak self] in
      guard let self else { return }
      goodInTime = ledger.share { $0 == .answered }
    }
  }

  /// No more attempts than requests, a fifth and ten a second. Where less is asked than the healthy half can do, 95 % of
  /// the requests succeed; where more, 95 % of what it can do is done in the time.
  func check(_ storm: RetryStorm) {
    let requests = ledger.plans.count - ledger.share { $0 == .left }
    let seconds = Double(RetryStorm.time) / 1e9
    let allowed = requests + requests / 5 + 10 * (Int(seconds) + 2)
    if ledger.totalAttempts > allowed {
      ledger.violate(
        "\(ledger.totalAttempts) attempts for \(requests) requests in \(seconds) s: \(allowed) are allowed")
    }
    let most = storm.rate * seconds
    let good = ledger.share { $0 == .answered }
    let share = min(Double(good) / Double(requests), 1)
    let isEnough =
      share >= RetryStorm.leastShare || Double(goodInTime) >= RetryStorm.leastShare * most
    if !isEnough {
      ledger.violate("\(good) of \(requests) requests succeeded, \(goodInTime) in time; \(most) can; \(storm)")
    }
    kernel.note(
      "storm: \(good) good, \(goodInTime) in time, of \(requests), \(ledger.totalAttempts) attempts, \(storm)")
  }
}
