package import ApusHTTP
import Synchronization

/// A service of the demo's shop. It knows nothing of the mesh: it listens on a port and calls others by name, through the
/// forward proxy that its environment names, as most programs do.
package final class DemoService: Sendable {
  private let name: String
  private let calls: [DemoCall]
  private let settings: Mutex<DemoSettings>

  /// - Parameter calls: asked for each request, one after the other; one failure fails the answer.
  package init(name: String, settings: DemoSettings, calls: [DemoCall]) {
    self.name = name
    self.calls = calls
    self.settings = Mutex(settings)
  }

  /// `/settings` shows (GET) and changes (POST, by query) the settings; everything else is the service's answer.
  package func respond(to request: HTTPRequest) -> HTTPResponse {
    guard request.path == "/settings" else { return serve(request) }
    return settings.withLock { settings in
      if request.method == "POST", let problem = settings.change(request.query) {
        return HTTPResponse(status: 400, contentType: "text/plain", text: problem + "\n")
      }
      return HTTPResponse(status: 200, contentType: "application/json", text: settings.json)
    }
  }

  private func serve(_ request: HTTPRequest) -> HTTPResponse {
    let settings = settings.withLock { $0 }
    Pause.sleep(.milliseconds(settings.latencyMilliseconds))
    if settings.errorPercent > 0, Double.random(in: 0..<100) < settings.errorPercent {
      return HTTPResponse(status: 500, contentType: "text/plain", text: "\(name) failed, as it was told to\n")
    }
    // What ties the calls of one request together is passed on, as tracing asks of every program.
    let kept = ["x-request-id", "traceparent", "tracestate"]
    let fields = request.fields.filter { kept.contains($0.name.lowercased()) }
    var text = "\(name)\n"
    for call in calls {
      let answer = call.get(fields)
      guard answer.status == 200 else {
        return HTTPResponse(
          status: 502, contentType: "text/plain",
          text: "\(name): \(call.url) answered \(answer.status): \(answer.text)\n")
      }
      text += answer.text.split(separator: "\n").map { "  \($0)\n" }.joined()
    }
    return HTTPResponse(status: 200, contentType: "text/plain", text: text)
  }
}
