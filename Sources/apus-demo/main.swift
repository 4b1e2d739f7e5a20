import ApusHTTP
import ArgumentParser
import MeshDemo

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A variable of the environment; nil where it is not set.
func variable(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }
}

/// The programs of the demo's shop: ordinary ones, which know nothing of the mesh.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus-demo", abstract: "Services and traffic for trying a mesh.", subcommands: [Serve.self, Load.self])
}

/// A service with settable latency and errors.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer HTTP on PORT.",
    discussion: """
      GET /settings shows the settings; POST /settings?latency-ms=50&error-percent=10 changes them.

      EXAMPLE
        PORT=8080 apus-demo serve --name catalog-v1 --latency-ms 3
      """)

  @Option(help: "What it calls itself in its answers.")
  var name: String

  @Option(help: "How long it takes to answer, milliseconds (0-60000).")
  var latencyMs = 0

  @Option(help: "Share of requests that it answers with 500 (0-100).")
  var errorPercent = 0.0

  @Option(name: .customLong("call"), parsing: .singleValue, help: "A URL that it calls for each request.")
  var calls: [String] = []

  func validate() throws {
    guard DemoSettings.latencyBounds.contains(latencyMs) else {
      throw ValidationError("--latency-ms must be from 0 to 60000")
    }
    guard DemoSettings.errorBounds.contains(errorPercent) else {
      throw ValidationError("--error-percent must be from 0 to 100")
    }
  }

  func run() throws {
    guard let port = variable("PORT").flatMap({ UInt16($0) }) else {
      throw ValidationError("PORT must be set to the port to listen on")
    }
    let proxy = variable("HTTP_PROXY")
    let made = try calls.map { url in
      guard let call = DemoCall(url: url, proxy: proxy) else {
        throw ValidationError("--call \"\(url)\" is no http URL, or HTTP_PROXY is none")
      }
      return call
    }
    let service = DemoService(
      name: name, settings: DemoSettings(latencyMilliseconds: latencyMs, errorPercent: errorPercent), calls: made)
    let listener = try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: port))
    try HTTPServer.serve(listener) { service.respond(to: $0) }
  }
}

/// Steady traffic to one URL.
struct Load: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask for a URL again and again.",
    discussion: """
      EXAMPLE
        HTTP_PROXY=http://127.0.0.1:3128 apus-demo load --url http://front/ --rate 20
      """)

  @Option(help: "What to ask for.")
  var url: String

  @Option(help: "Requests per second (1-1000).")
  var rate = 20

  func validate() throws {
    guard (1...1000).contains(rate) else { throw ValidationError("--rate must be from 1 to 1000") }
  }

  func run() throws {
    let proxy = variable("HTTP_PROXY")
    guard let call = DemoCall(url: url, proxy: proxy) else {
      throw ValidationError("--url \"\(url)\" is no http URL, or HTTP_PROXY is none")
    }
    DemoLoad(call: call, ratePerSecond: rate).run { false }
  }
}

DemoCommand.main()
