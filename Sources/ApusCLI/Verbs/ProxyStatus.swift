import ApusHTTP
import ArgumentParser
import MeshControl

/// `apus proxy-status`: which configuration each proxy has acknowledged.
struct ProxyStatusVerb: Verb {
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case table, wide, json, yaml
  }

  static let configuration = CommandConfiguration(
    commandName: "proxy-status",
    abstract: "Show whether each proxy has taken the configuration meant for it.",
    usage: "apus proxy-status [-n <namespace> | -A] [-o <format>] [<options>]",
    discussion: """
      SYNCED: all of it acknowledged. STALE: something is not sent or not acknowledged yet. NACKED: the proxy refused \
      something; the reason stands below. DISCONNECTED: the proxy goes on with its last configuration.

      EXAMPLES
        apus proxy-status
        apus proxy-status -o wide
      """)

  @OptionGroup var namespaces: NamespacesOption

  @Option(name: [.customShort("o"), .long], help: "table, wide, json or yaml.")
  var output = Format.table

  @OptionGroup var connection: ConnectionOptions

  func run(in context: CLIContext) throws(CLIFailure) -> ExitStatus {
    var client = try connection.client(in: context)
    let value = try client.call("GET", "/apis/apus.dev/v1/proxies")
    let proxies = (value["items"]?.elements ?? []).filter {
      namespaces.listed == nil || $0["namespace"]?.text == namespaces.listed
    }
    let head = (value.members ?? []).filter { $0.name != "items" }
    let listed = Value.object(head + [.init("items", .list(proxies))])
    switch output {
    case .json: context.output.write(PrettyJSON.text(listed))
    case .yaml: context.output.write(YAMLWriter.text(listed))
    case .table, .wide:
      if proxies.isEmpty { context.errors.write("No proxy is connected, or was lately.\n") }
      context.output.write(text(proxies, context))
    }
    return .success
  }

  private func text(_ proxies: [Value], _ context: CLIContext) -> String {
    guard !proxies.isEmpty else { return "" }
    let now = context.now()
    var columns = namespaces.allNamespaces ? [Table.Column("NAMESPACE")] : []
    columns += [
      Table.Column("PROXY", minimumWidth: 16), Table.Column("SERVICE", minimumWidth: 10), Table.Column("VERSION"),
      Table.Column("STATUS"), Table.Column("CERTIFICATE"), Table.Column("CONNECTED"),
    ]
    if output == .wide { columns.append(Table.Column("ACKNOWLEDGED")) }
    var table = Table(columns)
    table.rows = proxies.map { proxy in
      var cells = namespaces.allNamespaces ? [proxy["namespace"]?.text ?? Figures.none] : []
      cells += [
        proxy["id"]?.text, proxy["service"]?.text, proxy["version"]?.text, proxy["status"]?.text,
        Self.remaining(proxy["certificateNotAfter"]?.text, now),
        Figures.age(since: proxy["connectedSince"]?.text, now: now),
      ].map { $0.flatMap { $0.isEmpty ? nil : $0 } ?? Figures.none }
      if output == .wide { cells.append(Self.acknowledged(proxy)) }
      return cells
    }
    var text = table.text(maxWidth: output == .wide ? nil : context.tableWidth)
    for proxy in proxies {
      guard let message = proxy["nack"]?["message"]?.text else { continue }
      text += "\n\(proxy["id"]?.text ?? "") refused \(Self.shortType(proxy["nack"]?["type"]?.text ?? "")): \(message)\n"
    }
    return text
  }

  /// How long a certificate has to go: `23h left`, `expired 5m ago`.
  static func remaining(_ notAfter: String?, _ now: Timestamp) -> String? {
    guard let end = notAfter.flatMap({ Timestamp(rfc3339: $0) }) else { return nil }
    let left = end.secondsSinceEpoch - now.secondsSinceEpoch
    return left > 0 ? "\(Figures.age(seconds: left)) left" : "expired \(Figures.age(seconds: -left)) ago"
  }

  /// Per type, `acknowledged` or `acknowledged of sent`.
  private static func acknowledged(_ proxy: Value) -> String {
    (proxy["sent"]?.members ?? []).map { member in
      let sent = member.value.scalarText ?? ""
      let acked = proxy["acked"]?[member.name]?.scalarText ?? Figures.none
      return "\(shortType(member.name))=\(acked == sent ? acked : "\(acked) of \(sent)")"
    }.joined(separator: " ")
  }

  /// `ServiceConfig` of `type.googleapis.com/apus.v1.ServiceConfig`.
  static func shortType(_ url: String) -> String {
    String(url.split(whereSeparator: { $0 == "." || $0 == "/" }).last ?? "")
  }
}
