package import ApusHTTP
package import MeshControl

/// Speaks with the control plane's API and turns what goes wrong into failures that say how to mend it.
package struct APIClient: ~Copyable {
  private var http: HTTPClient
  private let token: String?
  private let tokenFile: String

  /// - Parameter token: absent where the data folder has none; the API then answers only what needs none.
  package init(address: HTTPAddress, token: String?, tokenFile: String, timeout: Duration = .seconds(10)) {
    http = HTTPClient(address: address, timeout: timeout)
    self.token = token
    self.tokenFile = tokenFile
  }

  package var address: HTTPAddress { http.address }

  /// Sends a request and returns the answer's document.
  /// - Parameter contentType: of the body; JSON unless told.
  package mutating func call(
    _ method: String, _ path: String, body: [UInt8] = [], contentType: String = "application/json"
  ) throws(CLIFailure) -> Value {
    let response = try answer(method, path, body: body, contentType: contentType)
    guard (200..<300).contains(response.status) else {
      throw APIStatus(response).failure(doing: "\(method) \(path)", tokenFile: tokenFile)
    }
    return try Self.document(response.body, of: path)
  }

  /// Sends a request and returns the answer, whatever its status.
  package mutating func answer(
    _ method: String, _ path: String, body: [UInt8] = [], contentType: String = "application/json"
  ) throws(CLIFailure) -> HTTPResponse {
    do {
      return try http.send(request(method, path, body: body, contentType: contentType))
    } catch {
      throw Self.failure(error, at: http.address)
    }
  }

  /// Gives each document of a watch as it comes, until the control plane ends it or `take` says that it is enough.
  package mutating func watch(_ path: String, _ take: (Value) -> Bool) throws(CLIFailure) {
    let refusal: HTTPResponse?
    do {
      refusal = try http.stream(request("GET", path, body: [], contentType: nil)) { line in
        guard let value = try? JSONReader.read(Array(line.utf8)) else { return true }
        return take(value)
      }
    } catch {
      throw Self.failure(error, at: http.address)
    }
    if let refusal { throw APIStatus(refusal).failure(doing: "watch \(path)", tokenFile: tokenFile) }
  }

  private func request(_ method: String, _ path: String, body: [UInt8], contentType: String?) -> HTTPRequest {
    var fields = [HTTPField("accept", "application/json"), HTTPField("user-agent", "apus/\(ApusVersion.text)")]
    if let token { fields.append(HTTPField("authorization", "Bearer \(token)")) }
    if let contentType, !body.isEmpty { fields.append(HTTPField("content-type", contentType)) }
    return HTTPRequest(method: method, target: path, fields: fields, body: body)
  }

  private static func document(_ body: [UInt8], of path: String) throws(CLIFailure) -> Value {
    if body.isEmpty { return .null }
    do {
      return try JSONReader.read(body)
    } catch {
      throw CLIFailure(.failed, "the answer to \(path) is no JSON: \(error.message)", hint: "is this the API of Apus?")
    }
  }

  private static func failure(_ error: HTTPFailure, at address: HTTPAddress) -> CLIFailure {
    switch error {
    case .unreachable(_, let text):
      CLIFailure(
        .unreachable, "no control plane answers at \(address): \(text)",
        hint: "start one with `apus up`, or say where it is with --api or APUS_API")
    case .timedOut:
      CLIFailure(
        .unreachable, "the control plane at \(address) does not answer in time",
        hint: """
          see whether it is stopped or overloaded; `apus check` asks it again, and `apus get` whether a change that was \
          asked for has been stored after all
          """)
    default:
      CLIFailure(.unreachable, "no sound answer from \(address): \(error.message)", hint: "is this the API of Apus?")
    }
  }
}
