import Hummingbird
import MeshControl
import NIOCore

/// Single requests: `decisions`, `tap` and `why` under `/apis/apus.dev/v1`, and the pages of the proxies.
struct RequestAnswers {
  let sources: APISources

  /// Pages of a proxy that the API passes on, all of them JSON.
  static let proxyPages = ["listeners", "routes", "endpoints", "secrets", "decisions", "config_dump", "connections"]

  func answer(_ name: String, _ request: Request) async throws -> Response {
    switch name {
    case "why": try await why(request)
    case "tap": try tap(request)
    default: try await decisions(request)
    }
  }

  /// A page of one proxy.
  func page(_ name: String, of proxy: String, _ request: Request) async throws -> Response {
    guard Self.proxyPages.contains(name) else {
      throw StatusAnswer.notFound(
        "proxies have no page \(name.prefix(64)); there are \(Self.proxyPages.joined(separator: ", "))")
    }
    guard let page = await sources.pages.page("/\(name)", of: proxy) else {
      throw StatusAnswer.notFound("no proxy \(proxy.prefix(128)) is connected, or it does not answer; see proxies")
    }
    return Response(
      status: .init(code: page.status), headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: page.body)))
  }

  private func why(_ request: Request) async throws -> Response {
    let explainer = TrafficExplainer(
      pages: sources.pages, statistics: sources.statistics, workloads: sources.workloads, objects: sources.objects)
    if let id = request.parameter("id"), !id.isEmpty {
      guard let explanation = await explainer.explain(requestID: id) else {
        throw StatusAnswer.notFound(
          "no connected proxy keeps a request with the id \(id.prefix(128)); each keeps its last 1,024 requests and 2,048 "
            + "failures for each worker")
      }
      return APIResponder.json(explanation.value)
    }
    let (from, to) = (request.parameter("from") ?? "", request.parameter("to") ?? "")
    guard !from.isEmpty || !to.isEmpty else {
      throw StatusAnswer.badRequest(
        "say which request: id=REQUEST-ID, or from=NAME, to=NAME or both, with, perhaps, path=/… and reason=REASON")
    }
    let reason = request.parameter("reason").flatMap { $0.isEmpty ? nil : $0 }
    return APIResponder.json(
      await explainer.explain(from: from, to: to, path: request.parameter("path"), reason: reason).value)
  }

  private func decisions(_ request: Request) async throws -> Response {
    let records = await DecisionReader(pages: sources.pages).decisions(try Self.query(request, most: 1_000))
    return APIResponder.json(.object([Value.Member("items", .list(records.map(\.value)))]))
  }

  /// A line of JSON for each request as it ends, at most `rate` a second; what is left out is counted.
  private func tap(_ request: Request) throws -> Response {
    let text = request.parameter("rate") ?? "100"
    guard let rate = Int(text), (1...1_000).contains(rate) else {
      throw StatusAnswer.badRequest("rate is a number of requests a second from 1 to 1000; leave it out for 100")
    }
    var query = try Self.query(request, most: 1_000)
    query.limit = rate
    query.hasHeads = request.parameter("heads") == "1"
    query.redactedFields = sources.redactedFields
    let reader = DecisionReader(pages: sources.pages)
    let body = ResponseBody { [query] writer in
      var cursor = DecisionReader.Cursor()
      var turns = 0
      // Ends when the client has gone, which a write finds out.
      while !Task.isCancelled {
        let records = await reader.decisions(query, after: &cursor)
        var lines = records.prefix(rate).map { Self.line("REQUEST", [Value.Member("object", $0.value)]) }
        if records.count > rate {
          lines.append(Self.line("OMITTED", [Value.Member("count", .integer(records.count - rate))]))
        }
        turns += 1
        if lines.isEmpty, turns % Self.beatTurns == 0 { lines.append("\n") }
        if !lines.isEmpty { try await writer.write(ByteBuffer(string: lines.joined())) }
        try await Task.sleep(for: Self.turn)
      }
      try await writer.finish(nil)
    }
    return Response(status: .ok, headers: [.contentType: "application/json"], body: body)
  }

  /// How often the proxies are asked, and after how many silent turns the client is sent an empty line.
  private static let turn = Duration.seconds(1)
  private static let beatTurns = 10

  private static func line(_ type: String, _ members: [Value.Member]) -> String {
    Value.object([Value.Member("type", .string(type))] + members).json() + "\n"
  }

  private static func query(_ request: Request, most: Int) throws(StatusAnswer) -> DecisionQuery {
    let text = request.parameter("limit") ?? "100"
    guard let limit = Int(text), (1...most).contains(limit) else {
      throw StatusAnswer.badRequest("limit is a number from 1 to \(most); leave it out for 100")
    }
    return DecisionQuery(
      requestID: request.parameter("id"), from: request.parameter("from"), to: request.parameter("to"),
      path: request.parameter("path"), reason: request.parameter("reason"),
      method: request.parameter("method"), status: request.parameter("status"),
      isNotable: request.parameter("notable") == "1" || request.parameter("notable") == "true", limit: limit)
  }
}
