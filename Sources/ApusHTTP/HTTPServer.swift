import Synchronization

/// A small HTTP/1.1 server, a thread for each connection: what the demo's services and the tests' control plane are.
package enum HTTPServer {
  /// Connections served at once; those over it are closed as they come.
  package static let connectionLimit = 256

  /// Serves until accepting fails. The handler is called on the connection's own thread and may take its time.
  package static func serve(
    _ listener: borrowing ListeningSocket, idleTimeout: Duration = .seconds(60),
    handler: @escaping @Sendable (HTTPRequest) -> HTTPResponse
  ) throws(HTTPFailure) {
    let open = OpenCount()
    while true {
      let socket = try listener.accept()
      guard open.count.load(ordering: .relaxed) < connectionLimit else { continue }
      try? socket.setTimeout(idleTimeout)
      let connection = OnceBox(MessageReader(socket))
      open.count.add(1, ordering: .relaxed)
      let didStart = DetachedThread.start {
        if let reader = connection.take() { converse(reader, handler) }
        open.count.subtract(1, ordering: .relaxed)
      }
      if !didStart { open.count.subtract(1, ordering: .relaxed) }
    }
  }

  private final class OpenCount: Sendable {
    let count = Atomic(0)
  }

  /// Carries a connection into its thread.
  private final class OnceBox: Sendable {
    private let content: Mutex<MessageReader?>

    init(_ reader: consuming sending MessageReader) {
      content = Mutex(reader)
    }

    func take() -> MessageReader? {
      content.withLock { $0.take() }
    }
  }

  private static func converse(_ connection: consuming MessageReader, _ handler: (HTTPRequest) -> HTTPResponse) {
    do throws(HTTPFailure) {
      while let request = try connection.nextRequest() {
        let response = handler(request)
        let close = request.fields["connection"]?.lowercased() == "close"
        try connection.socket.write(encode(response, method: request.method, close: close))
        if close { return }
      }
    } catch {
      // The peer went away or does not speak HTTP/1.1: this connection ends, the others go on.
    }
  }

  private static func encode(_ response: HTTPResponse, method: String, close: Bool) -> [UInt8] {
    var head = "HTTP/1.1 \(response.status) \(reason(response.status))\r\n"
    for field in response.fields { head += "\(field.name): \(field.value)\r\n" }
    head += "content-length: \(response.body.count)\r\n"
    if close { head += "connection: close\r\n" }
    return Array((head + "\r\n").utf8) + (method == "HEAD" ? [] : response.body)
  }

  private static func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 204: "No Content"
    case 400: "Bad Request"
    case 404: "Not Found"
    case 409: "Conflict"
    case 422: "Unprocessable Content"
    case 500: "Internal Server Error"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    default: "Status"
    }
  }
}
