import ApusHTTP
import Foundation
import MeshDemo
import Testing

struct DemoTests {
  @Test func settingsAreChangedAllOrNot() {
    var settings = DemoSettings(latencyMilliseconds: 5, errorPercent: 0)
    #expect(settings.change(["latency-ms": "20", "error-percent": "2.5"]) == nil)
    #expect(settings == DemoSettings(latencyMilliseconds: 20, errorPercent: 2.5))
    for wrong in [["latency-ms": "-1"], ["error-percent": "101"], ["error-percent": "x"], ["speed": "1"]] {
      #expect(settings.change(wrong.merging(["latency-ms": "7"]) { given, _ in given }) != nil)
    }
    #expect(settings == DemoSettings(latencyMilliseconds: 20, errorPercent: 2.5))
  }

  @Test func aServiceFailsAsOftenAsItIsTold() {
    let service = DemoService(name: "a", settings: DemoSettings(), calls: [])
    let request = HTTPRequest(method: "GET", target: "/")
    #expect(service.respond(to: request).status == 200)
    #expect(service.respond(to: HTTPRequest(method: "POST", target: "/settings?error-percent=100")).status == 200)
    #expect(service.respond(to: request).status == 500)
    #expect(service.respond(to: HTTPRequest(method: "POST", target: "/settings?error-percent=no")).status == 400)
    #expect(service.respond(to: HTTPRequest(method: "GET", target: "/settings")).text.contains("\"error-percent\":100"))
  }

  @Test func callsGoThroughTheForwardProxyUnderTheirNameAndPassTheTraceOn() throws {
    let proxy = try FakeAPI(["GET http://catalog/": HTTPResponse(status: 200, contentType: "text/plain", text: "v1\n")])
    let call = try #require(DemoCall(url: "http://catalog/", proxy: "http://127.0.0.1:\(proxy.port)"))
    let front = DemoService(name: "front", settings: DemoSettings(), calls: [call])
    let fields = [HTTPField("Traceparent", "00-1-2-01"), HTTPField("cookie", "secret")]
    let answer = front.respond(to: HTTPRequest(method: "GET", target: "/", fields: fields))
    #expect(answer.status == 200)
    #expect(answer.text == "front\n  v1\n")
    #expect(proxy.requests.map(\.target) == ["http://catalog/"])
  }

  @Test func aCallThatFailsFailsTheAnswerAndIsNamed() throws {
    let port = try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: 0)).port
    let call = try #require(DemoCall(url: "http://127.0.0.1:\(port)/", proxy: nil))
    let answer = DemoService(name: "front", settings: DemoSettings(), calls: [call])
      .respond(to: HTTPRequest(method: "GET", target: "/"))
    #expect(answer.status == 502)
    #expect(answer.text.contains("http://127.0.0.1:\(port)/"))
  }

  @Test(arguments: ["https://a/", "a", "http://", "http://a:x/"])
  func whatIsNoAddressToCallIsRefused(url: String) {
    #expect(DemoCall(url: url, proxy: nil) == nil)
  }

  @Test func theLoadIsSteadyAndCountsWhatBecameOfIt() throws {
    let api = try FakeAPI(["GET /": HTTPResponse(status: 200, contentType: "text/plain", text: "ok")])
    let call = try #require(DemoCall(url: "http://127.0.0.1:\(api.port)/", proxy: nil))
    let load = DemoLoad(call: call, ratePerSecond: 100)
    let end = ContinuousClock.now + .seconds(1)
    load.run { ContinuousClock.now > end }
    let counts = load.counts
    #expect((50...110).contains(counts.answered + counts.leftOut), "\(counts)")
    #expect(counts.failed == 0)
  }
}
