package import ApusHTTP
import ArgumentParser
import MeshControl

/// With what a control plane is to run.
package struct ControlPlaneSettings: Sendable, Equatable {
  package static let defaultXDSPort: UInt16 = 15012
  package static let defaultTrustDomain = "cluster.local"

  package var folder: DataFolder
  /// Where the API listens.
  package var api: HTTPAddress
  /// Where proxies get their configuration and certificates.
  package var xds: HTTPAddress
  package var trustDomain: String
  /// Life of a workload's certificate; default 24 h.
  package var certificateLifetime: Duration
  /// Whether routes need a ReferenceGrant for backends in other namespaces. Default no, as GEP-1294 has it for meshes.
  package var requiresReferenceGrants = false
  /// Fields of heads whose values `apus tap --heads` does not show, beside those that it never shows.
  package var redactedFields: [String] = []
  /// The name server that is asked for external names; nil: those of `/etc/resolv.conf`.
  package var nameServer: HTTPAddress?

  package init(
    folder: DataFolder, api: HTTPAddress, xds: HTTPAddress, trustDomain: String, certificateLifetime: Duration
  ) {
    self.folder = folder
    self.api = api
    self.xds = xds
    self.trustDomain = trustDomain
    self.certificateLifetime = certificateLifetime
  }
}

/// What both verbs that run a control plane take.
struct ControlPlaneOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The data folder (default: APUS_DATA, else apus in XDG_STATE_HOME or ~/.local/state).", valueName: "folder"))
  var data: String?

  @Option(
    help: ArgumentHelp("Where the API listens (default: APUS_API, else 127.0.0.1:15050).", valueName: "host:port"))
  var api: String?

  @Option(
    help: ArgumentHelp("Where proxies get configuration and certificates.", valueName: "host:port"))
  var xds = "127.0.0.1:15012"

  @Option(
    help: ArgumentHelp("The trust domain of all identities; fixed once the data folder is made.", valueName: "domain"))
  var trustDomain = ControlPlaneSettings.defaultTrustDomain

  @Option(help: ArgumentHelp("Life of workloads' certificates (1-2592000).", valueName: "seconds"))
  var certificateLifetime = 86_400

  @Flag(help: "Demand a ReferenceGrant of routes for backends in other namespaces.")
  var requireReferenceGrants = false

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A header field whose value `apus tap --heads` does not show.", valueName: "name"))
  var redactHeader: [String] = []

  @Option(
    help: ArgumentHelp(
      "The name server for Services of type ExternalName (default: those of /etc/resolv.conf).",
      valueName: "address[:port]"))
  var nameServer: String?

  func validate() throws {
    guard (1...2_592_000).contains(certificateLifetime) else {
      throw ValidationError("--certificate-lifetime must be from 1 to 2592000 seconds (30 days)")
    }
    if let fault = TextFormat.dnsSubdomain.fault(in: trustDomain) {
      throw ValidationError("--trust-domain \"\(trustDomain)\" \(fault)")
    }
  }

  func settings(in context: CLIContext) throws(CLIFailure) -> ControlPlaneSettings {
    let named = context.environment["APUS_API"].flatMap { $0.isEmpty ? nil : $0 }
    var settings = ControlPlaneSettings(
      folder: DataFolder(option: data, environment: context.environment),
      api: try Self.address(api ?? named ?? "127.0.0.1:15050", ConnectionOptions.defaultPort, "--api"),
      xds: try Self.address(xds, ControlPlaneSettings.defaultXDSPort, "--xds"),
      trustDomain: trustDomain, certificateLifetime: .seconds(certificateLifetime))
    settings.requiresReferenceGrants = requireReferenceGrants
    settings.redactedFields = redactHeader
    if let nameServer {
      guard let address = HTTPAddress(nameServer, defaultPort: 53), IPAddress.isValid(address.host)
      else {
        throw CLIFailure(
          .usage, "--name-server \"\(nameServer)\" is no address",
          hint: "write --name-server like 127.0.0.1:5353, or [::1]:5353")
      }
      settings.nameServer = address
    }
    return settings
  }

  private static func address(_ text: String, _ port: UInt16, _ option: String) throws(CLIFailure) -> HTTPAddress {
    guard let address = HTTPAddress(text, defaultPort: port) else {
      throw CLIFailure(
        .usage, "\"\(text)\" is no address to listen on", hint: "write \(option) like 127.0.0.1:\(port)")
    }
    return address
  }
}

/// `apus control-plane`: the control plane alone. The program itself runs it; this only says how.
struct ControlPlaneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "control-plane",
    abstract: "Run the control plane in the foreground.",
    usage: "apus control-plane [<options>]",
    discussion: """
      SIGINT and SIGTERM stop it cleanly. The proxies go on with their last configuration meanwhile.

      EXAMPLE
        apus control-plane --data /var/lib/apus --xds 127.0.0.1:15012
      """)

  @OptionGroup var options: ControlPlaneOptions
}

/// `apus up`: a mesh on this machine.
struct Up: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Start a mesh on this machine; with --demo, a small shop in it.",
    usage: "apus up [--demo] [<options>]",
    discussion: """
      Runs the control plane in the foreground until Ctrl-C. Two meshes run side by side with different --data, --api \
      and --xds.

      EXAMPLES
        apus up
        apus up --demo
        apus up --data /tmp/second --api 127.0.0.1:16050 --xds 127.0.0.1:16012
      """)

  @Flag(help: "Start services with traffic between them too, and show how they fare.")
  var demo = false

  @Option(help: ArgumentHelp("Requests per second to the demo's front (1-1000).", valueName: "rate"))
  var demoRate = 20

  @OptionGroup var options: ControlPlaneOptions

  func validate() throws {
    guard (1...1000).contains(demoRate) else { throw ValidationError("--demo-rate must be from 1 to 1000") }
  }
}
