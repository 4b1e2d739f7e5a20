import MeshControl
import MeshWire
import Testing

private func record(
  _ reporter: Reporter = .source, id: String = "r1", from: String = "front", to: String = "payments",
  status: UInt32 = 503, reason: String = "", attempt: String = "", attempts: UInt32 = 1, retries: UInt32 = 0,
  route: String = "", endpoint: String = "127.0.0.1:4321", limit: UInt32 = 0, isLocal: Bool = true,
  ended: UInt64 = 1_000_000
) -> DecisionRecord {
  var record = DecisionRecord()
  record.reporter = reporter
  record.requestID = id
  record.endedMilliseconds = ended
  record.durationMicroseconds = reporter == .source ? 12_345 : 3_000
  record.method = "GET"
  record.path = "/pay"
  record.authority = to
  record.status = status
  record.reason = reason
  record.attemptReason = attempt
  record.attempts = attempts
  record.retries = retries
  record.sourceNamespace = "shop"
  record.source = "\(from)-1"
  record.sourceService = from
  record.sourceIdentity = "spiffe://cluster.local/ns/shop/sa/\(from)"
  record.destinationNamespace = "shop"
  record.service = to
  record.workload = attempts > 0 ? "\(to)-v2" : ""
  record.destinationIdentity = attempts > 0 ? "spiffe://cluster.local/ns/shop/sa/\(to)" : ""
  record.route = route
  record.endpoint = attempts > 0 ? endpoint : ""
  record.limit = limit
  record.isLocalReply = isLocal
  record.isMutualTLS = true
  return record
}

@Suite struct ExplanationTests {
  @Test func theFirstLineIsASentenceAndTheObjectIsNamed() throws {
    let refused = try #require(Explanation(of: [record(reason: "connect_refused")]))
    #expect(
      refused.sentence == "GET /pay from front to payments was refused with 503 by the proxy of the caller: "
        + "the endpoint refused the connection.")
    #expect(refused.object?.text == "Endpoint shop/payments-v2, 127.0.0.1:4321")
    #expect(refused.remedy.contains("listens"))
    #expect(refused.chain.map(\.place) == ["proxy of front-1", "proxy of payments-v2"])
  }

  @Test(arguments: [
    ("circuit_open_requests", "", "TrafficPolicy shop/payments, limit 10 requests under way for each worker"),
    ("request_timeout", "shop/pay/0", "HTTPRoute shop/pay, rule 0, timeout 10 ms"),
    ("backend_not_found", "shop/pay/2", "HTTPRoute shop/pay, rule 2"),
    ("no_route", "", "Service shop/payments, none of its routes matches"),
    ("no_service", "", "Service payments, not there"),
    ("tls_unknown_authority", "", "Certificate spiffe://cluster.local/ns/shop/sa/payments, endpoint 127.0.0.1:4321"),
    ("malformed_request", "", "Client shop/spiffe://cluster.local/ns/shop/sa/front"),
  ])
  func everyKindOfReasonHasItsObject(reason: String, route: String, object: String) throws {
    let told = try #require(Explanation(of: [record(reason: reason, route: route, limit: 10)]))
    #expect(told.object?.text == object)
    #expect(told.reason == reason)
    #expect(!told.remedy.isEmpty)
  }

  @Test func bothHopsAreJoinedAndTheLastFailureIsWhatItIsAbout() throws {
    // front -> cart -> payments: payments' proxy refused; both others passed it on.
    let told = try #require(
      Explanation(of: [
        record(from: "front", to: "cart", status: 503, isLocal: false, ended: 1_000_030),
        record(.destination, from: "front", to: "cart", status: 503, isLocal: false, ended: 1_000_028),
        record(from: "cart", to: "payments", reason: "no_healthy_endpoint", attempts: 0, ended: 1_000_020),
      ]))
    #expect(told.sentence.hasPrefix("GET /pay from cart to payments was refused with 503"))
    #expect(told.chain.map(\.place) == ["proxy of front-1", "proxy of cart-v2", "proxy of cart-1"])
    #expect(told.object?.text == "Service shop/payments")
  }

  @Test func anApplicationThatSpeaksNoHTTP2IsNamedAndNotItsClient() throws {
    var caller = record(status: 200, isLocal: false)
    var called = record(.destination, status: 200, reason: "upstream_protocol_error", isLocal: true)
    (caller.grpcStatus, called.grpcStatus) = (14, 14)
    (caller.isFailure, called.isFailure) = (true, true)
    let told = try #require(Explanation(of: [caller, called]))
    #expect(
      told.sentence.hasPrefix(
        "GET /pay from front to payments was refused with gRPC status 14 by the proxy of the service: "
          + "the endpoint's answer is not valid HTTP"))
    #expect(told.object?.text == "Application shop/payments-v2, 127.0.0.1:4321")
    #expect(told.remedy.contains("gRPC needs HTTP/2"))
    #expect(told.chain.allSatisfy { $0.text.contains("gRPC status 14") && !$0.text.contains("200") })
  }

  @Test func applicationsAndRetriesAreToldFromRefusals() throws {
    let own = try #require(
      Explanation(of: [record(status: 500, isLocal: false), record(.destination, status: 500, isLocal: false)]))
    #expect(own.sentence.contains("answered with 500 by the application payments-v2 itself"))
    #expect(own.object?.kind == "Application")
    let retried = try #require(
      Explanation(of: [record(status: 200, attempt: "connect_refused", attempts: 3, retries: 2, isLocal: false)]))
    #expect(retried.sentence.contains("succeeded with 200 after 2 retries"))
    #expect(retried.reason == "connect_refused")
    let fine = try #require(Explanation(of: [record(status: 200, isLocal: false)]))
    #expect(fine.sentence == "GET /pay from front to payments succeeded with 200 after 12 ms.")
    #expect(fine.object == nil && fine.remedy.isEmpty)
    #expect(Explanation(of: []) == nil)
  }
}

/// Proxies that answer, are silent, or answer what they were not asked.
@Suite struct ProxyQuestionTests {
  @Test func answersGoToWhoeverAskedAndSilenceCostsTheTimeLimit() async {
    let questions = ProxyQuestions(timeLimit: .milliseconds(50))
    await questions.open(proxy: "quick", stream: 1) { question in
      var answer = ProxyAnswer()
      answer.id = question.id
      answer.status = 200
      answer.body = Array(question.target.utf8)
      Task { [answer] in await questions.answered([answer], proxy: "quick") }
    }
    await questions.open(proxy: "silent", stream: 2) { _ in }
    await questions.open(proxy: "liar", stream: 3) { question in
      var answer = ProxyAnswer()
      answer.id = question.id &+ 1
      Task { [answer] in await questions.answered([answer], proxy: "liar") }
    }
    let pages = await questions.pages { "/decisions?of=\($0)" }
    #expect(pages.map(\.proxy) == ["quick"])
    #expect(pages.first?.body == Array("/decisions?of=quick".utf8))
    #expect(await questions.page("/x", of: "nobody") == nil)
  }

  @Test func aStreamThatEndsLeavesNobodyWaiting() async {
    let questions = ProxyQuestions(timeLimit: .seconds(600))
    await questions.open(proxy: "p", stream: 1) { _ in
      Task {
        // A newer stream has taken its place: the old one's end is no end of the proxy.
        await questions.close(proxy: "p", stream: 0)
        await questions.close(proxy: "p", stream: 1)
      }
    }
    #expect(await questions.page("/x", of: "p") == nil)
  }
}
