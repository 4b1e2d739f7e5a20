package import MeshReactor
package import MeshTelemetry
package import MeshWire

/// What the command line says.
package struct ProxyOptions: Sendable {
  /// A static configuration; nil: the control plane configures.
  package var configPath: String?
  package var node = NodeIdentity()
  /// The application's ports, each behind an inbound listener of its own.
  package var applicationPorts: [UInt16] = []
  package var applicationProtocol = AppProtocol.unspecified
  package var applicationAddress = "127.0.0.1"
  package var inboundAddress = "127.0.0.1:0"
  package var forwardAddress: String?
  /// Where peers open tunnels to any of the application's ports (HBONE; 15008 by convention); nil: through the ports'
  /// own listeners only.
  package var tunnelAddress: String?
  /// `NAME[.NAMESPACE][:PORT]` and the local port that leads there.
  package var upstreams: [(name: String, address: String)] = []
  package var adminAddress = "127.0.0.1:0"
  package var controlPlane: String?
  package var controlPlaneRoots: String?
  package var tokenPath: String?
  package var stateDirectory: String?
  package var workers = 0
  /// Nil: no access log.
  package var accessLog: AccessLogFormat?
  package var logLevel = LogLevel.info
  package var drainSeconds: UInt64 = 10
  package var readyDescriptor: Int32?
  package var labels: [String: String] = [:]
  /// What peers may drive up.
  package var limits = ProxyLimits()
  /// When workers wait a moment for more events.
  package var coalescing = Coalescing()
  /// Added to the wall clock where certificates are judged.
  package var clockOffsetSeconds: Int64 = 0

  package init() {}

  /// Reads the arguments after the program's name.
  ///
  /// - Throws: `UsageError` naming the argument and what it wants.
  package init(arguments: [String]) throws(UsageError) {
    if arguments == ["--version"] { throw UsageError(message: "apus-proxy \(ProxyState.version)", isHelp: true) }
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--help" || argument == "-h" { throw UsageError(message: Self.help, isHelp: true) }
      var name = argument
      var attached: String?
      if let equals = argument.firstIndex(of: "="), argument.hasPrefix("--") {
        name = String(argument[..<equals])
        attached = String(argument[argument.index(after: equals)...])
      }
      guard Self.names.contains(name) else { throw UsageError(message: "\(name) is not an option; see --help") }
      guard let value = attached ?? rest.popFirst() else {
        throw UsageError(message: "\(name) wants a value; see --help")
      }
      try take(name, value)
    }
    if configPath == nil, controlPlane == nil {
      throw UsageError(
        message: "neither --config FILE nor --xds ADDRESS is given: there is nothing to work from; see --help")
    }
  }

  private mutating func take(_ name: String, _ value: String) throws(UsageError) {
    switch name {
    case "--config": configPath = value
    case "--id": node.uid = value
    case "--namespace": node.namespace = value
    case "--service":
      node.service = value
      if node.workload.isEmpty { node.workload = value }
    case "--workload": node.workload = value
    case "--account": node.serviceAccount = value
    case "--version": node.version = value
    case "--trust-domain": node.trustDomain = value
    case "--label":
      guard let equals = value.firstIndex(of: "=") else {
        throw UsageError(message: "--label wants NAME=VALUE, not \(value)")
      }
      labels[String(value[..<equals])] = String(value[value.index(after: equals)...])
    case "--app-port": applicationPorts.append(try Self.port(name, value))
    case "--app-address": applicationAddress = value
    case "--app-protocol":
      applicationProtocol = try Self.choice(
        name, value,
        [("auto", .unspecified), ("http", .http), ("http2", .http2), ("grpc", .grpc), ("tcp", .tcp), ("tls", .tls)])
    case "--inbound": inboundAddress = try Self.address(name, value)
    case "--hbone": tunnelAddress = try Self.address(name, value)
    case "--forward": forwardAddress = try Self.address(name, value)
    case "--upstream":
      guard let equals = value.lastIndex(of: "=") else {
        throw UsageError(message: "--upstream wants NAME=PORT, not \(value)")
      }
      let port = String(value[value.index(after: equals)...])
      let address = port.contains(":") ? try Self.address(name, port) : "127.0.0.1:\(try Self.port(name, port))"
      upstreams.append((String(value[..<equals]), address))
    case "--admin": adminAddress = try Self.address(name, value)
    case "--xds": controlPlane = try Self.address(name, value)
    case "--xds-root": controlPlaneRoots = value
    case "--token-file": tokenPath = value
    case "--state": stateDirectory = value
    default: try takeTuning(name, value)
    }
  }

  private mutating func takeTuning(_ name: String, _ value: String) throws(UsageError) {
    switch name {
    case "--workers": workers = Int(try Self.number(name, value, in: 0...256))
    case "--access-log":
      accessLog = try Self.choice(name, value, [("off", nil), ("json", .json), ("text", .text)])
    case "--log-level":
      logLevel = try Self.choice(
        name, value, [("error", .error), ("warning", .warning), ("info", .info), ("debug", .debug)])
    case "--limit": try limits.set(value)
    case "--coalesce-microseconds":
      coalescing.pauseNanoseconds = UInt64(try Self.number(name, value, in: 0...1000)) * 1000
    case "--drain-seconds": drainSeconds = UInt64(try Self.number(name, value, in: 0...3600))
    case "--ready-fd": readyDescriptor = Int32(try Self.number(name, value, in: 0...65535))
    case "--clock-offset-seconds": clockOffsetSeconds = try Self.number(name, value, in: -1_000_000_000...1_000_000_000)
    default: break  // `names` has been asked.
    }
  }

  private static func number(_ name: String, _ value: String, in range: ClosedRange<Int64>) throws(UsageError) -> Int64
  {
    guard let number = Int64(value), range.contains(number) else {
      throw UsageError(message: "\(name) wants a number from \(range.lowerBound) to \(range.upperBound), not \(value)")
    }
    return number
  }

  private static func port(_ name: String, _ value: String) throws(UsageError) -> UInt16 {
    UInt16(try number(name, value, in: 1...65535))
  }

  private static func address(_ name: String, _ value: String) throws(UsageError) -> String {
    guard SocketAddress(value) != nil else {
      throw UsageError(message: "\(name) wants ADDRESS:PORT such as 127.0.0.1:15001, not \(value)")
    }
    return value
  }

  private static func choice<T>(_ name: String, _ value: String, _ choices: [(String, T)]) throws(UsageError) -> T {
    guard let found = choices.first(where: { $0.0 == value }) else {
      throw UsageError(
        message: "\(name) is one of \(choices.map(\.0).joined(separator: ", ")), not \(value)")
    }
    return found.1
  }

  /// The listeners that the command line asks for.
  var listeners: [ListenerConfig] {
    var list: [ListenerConfig] = []
    if let forwardAddress {
      var listener = ListenerConfig()
      listener.name = "forward"
      listener.kind = .forward
      listener.address = forwardAddress
      list.append(listener)
    }
    for upstream in upstreams {
      var listener = ListenerConfig()
      let (service, port) = Self.service(upstream.name, namespace: node.namespace)
      listener.name = "outbound:\(upstream.name)"
      listener.kind = .outbound
      listener.address = upstream.address
      listener.service = service
      listener.port = port
      list.append(listener)
    }
    for port in applicationPorts {
      var listener = ListenerConfig()
      listener.name = "inbound:\(port)"
      listener.kind = .inbound
      listener.address = inboundAddress
      listener.port = UInt32(port)
      listener.applicationAddress = applicationAddress
      listener.appProtocol = applicationProtocol
      list.append(listener)
    }
    if let tunnelAddress {
      var listener = ListenerConfig()
      listener.name = "hbone"
      listener.kind = .inbound
      listener.address = tunnelAddress
      list.append(listener)
    }
    return list
  }

  /// `NAME[.NAMESPACE][:PORT]` as `namespace/name` and port; the namespace defaults to the proxy's, the port to 80.
  static func service(_ text: String, namespace: String) -> (String, UInt32) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    let names = (parts.first ?? "").split(separator: ".").map(String.init)
    let port = parts.count > 1 ? UInt32(parts[1]) ?? 80 : 80
    return ("\(names.count > 1 ? names[1] : namespace)/\(names.first ?? "")", port)
  }

  /// All options: what `help` names.
  private static let names = Set(
    help.split { " ,\n".contains($0) }.map(String.init).filter { $0.hasPrefix("--") && $0.utf8.count > 2 })

  static let help = """
    apus-proxy: the data plane of the Apus service mesh

    apus-proxy --config FILE.json          a static configuration
    apus-proxy --xds ADDRESS --id UID …    configured by a control plane

      --id UID, --namespace NS, --service NAME, --workload NAME,
      --account SA, --version V, --trust-domain D, --label K=V
                             who the workload is
      --app-port PORT        a port of the application (several)
      --app-address ADDRESS  where the application listens (127.0.0.1)
      --app-protocol auto|http|http2|grpc|tcp|tls
                             what it speaks (auto: its service says, else it is
                             told from first bytes)
      --inbound ADDRESS:PORT
                             where peers connect (127.0.0.1:0)
      --hbone ADDRESS:PORT   where peers open tunnels to any of these ports
                             (none; 15008 by convention)
      --forward ADDRESS:PORT
                             HTTP forward proxy for the application
      --upstream NAME=PORT   a local port that leads to a service (several)
      --admin ADDRESS:PORT   admin interface (127.0.0.1:0)
      --xds ADDRESS:PORT, --xds-root FILE, --token-file FILE
                             the control plane, its root, the join token
      --state DIR            keeps the last configuration and certificate
      --workers N            threads (0, the default: the processors usable)
      --access-log off|json|text
                             to standard output (off)
      --log-level error|warning|info|debug
                             to standard error (info)
      --limit NAME=VALUE     what peers may drive up (several); docs/limits.md
      --coalesce-microseconds N
                             how long a busy loop waits to send more at once
                             (50; 0: never)
      --drain-seconds N      time for requests under way at the end (10)
      --ready-fd N           gets one JSON line when ready
      --clock-offset-seconds N
                             added to the clock where certificates are judged
                             (0; for tests)
      --version, --help      alone: prints this program's version, this help

    Example: apus-proxy --config sidecar.json --admin 127.0.0.1:15000
    """
}

/// What is logged of the proxy's own doings.
package enum LogLevel: UInt8, Sendable, Comparable, CaseIterable {
  case error, warning, info, debug
  package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// The command line cannot be followed.
package struct UsageError: Error {
  package var message: String
  /// The help text was asked for.
  package var isHelp = false

  package init(message: String, isHelp: Bool = false) {
    self.message = message
    self.isHelp = isHelp
  }
}
