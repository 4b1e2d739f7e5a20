import FoundationEssentials
import HTTPTypes
import Hummingbird
import MeshControl
import NIOCore

/// Answers requests: who may ask, what is asked for, and the shape of the answer.
struct APIResponder: Sendable {
  let settings: APISettings
  let sources: APISources
  let sessions = DashboardSessions()

  func respond(to request: Request) async -> Response {
    do {
      return try await route(request)
    } catch let answer as StatusAnswer {
      return Self.json(answer.value, code: answer.code)
    } catch let error as StoreError {
      let answer = StatusAnswer(error)
      return Self.json(answer.value, code: answer.code)
    } catch {
      let answer = StatusAnswer(code: 500, reason: "InternalError", message: "\(error)")
      return Self.json(answer.value, code: answer.code)
    }
  }

  private func route(_ request: Request) async throws -> Response {
    let path = request.uri.path
    let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(Self.decoded)
    if let open = try await openAnswer(path, request) { return open }
    let session = try authorize(request)
    var response = try await answer(parts, path, request)
    // So that pages offer nothing that would be refused.
    if let session, let name = HTTPField.Name("apus-session") {
      response.headers[name] = session.mayWrite ? "reads, writes" : "reads"
    }
    return response
  }

  private func answer(_ parts: [String], _ path: String, _ request: Request) async throws -> Response {
    switch (parts.first, parts.count) {
    case ("metrics", 1):
      return Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(byteBuffer: ByteBuffer(bytes: await sources.metrics())))
    case ("openapi", 2): return try DiscoveryAnswers.schema(parts[1], request, version: settings.version)
    case ("api", 1), ("apis", 1): return try DiscoveryAnswers.root(parts[0], request)
    case ("api", 2): return try DiscoveryAnswers.version(group: "", version: parts[1], request)
    case ("apis", 2): return try DiscoveryAnswers.group(parts[1], request)
    case ("apis", 3): return try DiscoveryAnswers.version(group: parts[1], version: parts[2], request)
    case ("api", _): return try await resources(group: "", version: parts[1], rest: parts[2...], request)
    case ("apis", _):
      if parts[1] == "apus.dev", parts[2] == "v1",
        let answer = try await MeshAnswers(responder: self).answer(parts[3...], request)
      {
        return answer
      }
      return try await resources(group: parts[1], version: parts[2], rest: parts[3...], request)
    default: throw StatusAnswer.notFound("there is nothing at \(path.prefix(256)); see /api and /apis")
    }
  }

  /// What is answered without a token: whether the program lives, and its version.
  private func openAnswer(_ path: String, _ request: Request) async throws -> Response? {
    if let file = DashboardFiles.answer(path, method: request.method) { return file }
    switch path {
    case "/healthz", "/livez": return Self.text("ok\n")
    case "/readyz":
      let missing = await sources.unready()
      return missing.isEmpty
        ? Self.text("ok\n") : Self.text("not ready: \(missing.joined(separator: ", "))\n", code: 503)
    case "/version":
      let parts = settings.version.split(separator: ".").map(String.init)
      return Self.json(
        .object([
          Value.Member("name", .string("apus")), Value.Member("version", .string(settings.version)),
          Value.Member("major", .string(parts.first ?? "0")),
          Value.Member("minor", .string(parts.dropFirst().first ?? "0")),
          Value.Member("gitVersion", .string("v\(settings.version)")),
        ]))
    default: return nil
    }
  }

  /// The session of the dashboard that asks; nil: whoever has the token of the control plane.
  private func authorize(_ request: Request) throws(StatusAnswer) -> DashboardSessions.Session? {
    guard let header = request.headers[.authorization] else {
      throw StatusAnswer(
        code: 401, reason: "Unauthorized",
        message: "no token was shown; send Authorization: Bearer with the content of the data folder's api-token")
    }
    guard let shown = Self.token(shown: header) else {
      throw StatusAnswer(
        code: 401, reason: "Unauthorized", message: "the scheme is not Bearer; send Authorization: Bearer TOKEN")
    }
    guard Self.isSame(shown, Array(settings.token.utf8)) else {
      if let session = sessions.session(String(decoding: shown, as: UTF8.self)) {
        try permit(session, request)
        return session
      }
      throw StatusAnswer(
        code: 401, reason: "Unauthorized",
        message: "the token is not the one of this control plane; see that APUS_DATA and APUS_API mean the same mesh")
    }
    return nil
  }

  /// The token in an `Authorization` field: `Bearer TOKEN`, or `Basic` with the token as the password (RFC 7617), since
  /// kubectl sends no bearer tokens without TLS, and takes a password in the server's address.
  private static func token(shown header: String) -> [UInt8]? {
    let words = header.split(separator: " ", maxSplits: 1)
    guard words.count == 2 else { return nil }
    switch words[0].lowercased() {
    case "bearer": return Array(words[1].utf8)
    case "basic":
      guard let text = Data(base64Encoded: String(words[1])), let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
        return nil
      }
      return Array(text[text.index(after: colon)...])
    default: return nil
    }
  }

  /// What the dashboard's sessions may do: read, and write where that was asked for. They open no other sessions and get
  /// no tokens.
  private func permit(_ session: DashboardSessions.Session, _ request: Request) throws(StatusAnswer) {
    if request.method == .get || request.method == .head || request.uri.path == "/apis/apus.dev/v1/eval" { return }
    let isOfTokens = request.uri.path.hasSuffix("/token") || request.uri.path.hasSuffix("/sessions")
    guard session.mayWrite, !isOfTokens else {
      throw StatusAnswer(
        code: 403, reason: "Forbidden",
        message: "this session of the dashboard only reads; `apus dashboard --allow-writes` opens one that may write")
    }
  }

  /// Compares in a time that does not tell where two texts differ.
  static func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }

  /// Requests for objects: `[namespaces/NS/]PLURAL[/NAME]`.
  private func resources(
    group: String, version: String, rest: ArraySlice<String>, _ request: Request
  ) async throws -> Response {
    var rest = rest
    var namespace: String?
    if rest.first == "namespaces", rest.count >= 3 {
      namespace = rest[rest.startIndex + 1]
      rest = rest.dropFirst(2)
    }
    let plural = rest.first ?? ""
    guard let kind = KindRegistry.kind(group: group, version: version, plural: plural) else {
      let known = KindRegistry.kinds.map { "\($0.plural) (\($0.apiVersion))" }.joined(separator: ", ")
      throw StatusAnswer.notFound(
        "\(plural.prefix(64)) of \(group.isEmpty ? "" : "\(group.prefix(64))/")\(version.prefix(32)) is not served; "
          + "there are \(known)")
    }
    if let namespace, let fault = TextFormat.dnsLabel.fault(in: namespace) {
      throw StatusAnswer.badRequest("the namespace \(fault)")
    }
    let verbs = ResourceAnswers(responder: self, kind: kind, namespace: namespace)
    switch rest.count {
    case 1: return try await verbs.collection(request)
    case 2: return try await verbs.object(rest[rest.startIndex + 1], request)
    default:
      throw StatusAnswer.notFound("objects have no parts of their own here; \(kind.plural)/NAME is all there is")
    }
  }

  /// A part of a path without its percent-encoding; what is not a proper one stays.
  private static func decoded(_ part: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = part.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%"), let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
        rest.count >= 2
      else {
        bytes.append(byte)
        continue
      }
      bytes.append(code)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// How much of a body that is too large is still taken in before the answer.
  private static let maxDiscardedBytes = 64 << 20

  /// The whole body, within the bound.
  func body(of request: Request) async throws -> [UInt8] {
    let tooLarge = StatusAnswer(
      code: 413, reason: "RequestEntityTooLarge",
      message: "the body has over \(settings.maxBodyBytes) bytes, the most that is taken at once and the most that one "
        + "object may have; apply several documents in parts, and make a single one smaller")
    var bytes: [UInt8] = []
    var count = 0
    for try await chunk in request.body {
      count += chunk.readableBytes
      // What is over the bound is thrown away as it comes, so that a client that sends before it reads gets its answer.
      guard count <= Self.maxDiscardedBytes else { throw tooLarge }
      if count <= settings.maxBodyBytes { bytes += chunk.readableBytesView }
    }
    guard count <= settings.maxBodyBytes else { throw tooLarge }
    return bytes
  }

  static func json(_ value: Value, code: Int = 200) -> Response {
    var bytes: [UInt8] = []
    value.write(into: &bytes, sorted: false)
    bytes.append(0x0A)
    return Response(
      status: .init(code: code), headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
  }

  static func text(_ text: String, code: Int = 200) -> Response {
    Response(
      status: .init(code: code), headers: [.contentType: "text/plain; charset=utf-8"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }
}

extension Request {
  /// A query parameter, decoded; nil where it is not there.
  func parameter(_ name: String) -> String? {
    uri.queryParameters[Substring(name)].map(String.init)
  }
}
