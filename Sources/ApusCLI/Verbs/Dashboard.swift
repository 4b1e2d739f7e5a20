import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus dashboard`: the address of the dashboard, with a session of its own.
struct Dashboard: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Print the address of the dashboard, good for twelve hours.",
    usage: "apus dashboard [--allow-writes] [-o <format>] [<options>]",
    discussion: """
      The address carries a token behind its #, which no server sees. The session only reads, unless --allow-writes is \
      given. It ends with the control plane.

      EXAMPLES
        apus dashboard
        xdg-open "$(apus dashboard)"
      """)

  @Flag(help: "Let the session change objects.")
  var allowWrites = false

  @OptionGroup var format: OutputOption
  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let url = try Self.url(&client, allowsWrites: allowWrites)
    context.write(.object([.init("url", .string(url)), .init("writable", .boolean(allowWrites))]), as: format.output) {
      url + "\n"
    }
    return .success
  }

  /// Opens a session and gives the address to open.
  static func url(_ client: inout APIClient, allowsWrites: Bool) throws(CLIFailure) -> String {
    let session = try client.call("POST", "/apis/apus.dev/v1/sessions\(allowsWrites ? "?write=true" : "")")
    guard let token = session["token"]?.text else {
      throw CLIFailure(
        .failed, "the control plane gave no session", hint: "see that it is of this version: `apus version`")
    }
    return "http://\(client.address)/dashboard/#token=\(token)"
  }
}
