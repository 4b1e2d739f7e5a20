internal import MeshModel
internal import MeshPolicy
internal import MeshProxy
internal import MeshReactor
internal import MeshWire

/// How the two proxies of a world speak with each other.
package enum Link: Int, CaseIterable, Sendable {
  /// mTLS, and HTTP/2 inside.
  case mutualTLS
  /// HTTP/1.1 in the clear.
  case plainHTTP1
  /// HTTP/2 in the clear.
  case plainHTTP2
}

/// A client's sidecar and a server's, as real workers over a simulated kernel: `web` and `echo` are services with an
/// endpoint for each application; all of them are behind the server's sidecar.
final class Mesh {
  static let webPort: UInt16 = 1001
  static let echoPort: UInt16 = 1002
  /// Ports whose protocol nobody has declared: the server speaks first on one, the client on the other.
  static let greeterPort: UInt16 = 1003
  static let keysPort: UInt16 = 1004
  /// Ports of the server's sidecar and of the applications begin here.
  static let firstServerPort: UInt16 = 2000
  static let host = "web"
  let link: Link
  let client: Worker
  let server: Worker
  let applicationPorts: [UInt16]
  static let echoApplicationPort: UInt16 = 3900
  static let greeterApplicationPort: UInt16 = 3901
  static let keysApplicationPort: UInt16 = 3902
  var policy: TrafficPolicyConfig?
  private let clientListeners: [ListenerConfig]
  private let serverListeners: [ListenerConfig]
  /// What applications behind the server's sidecar speak.
  private let application: AppProtocol

  init(
    _ kernel: SimulatedKernel, _ link: Link, credentials: SimulationCredentials?, applications: Int,
    speaks application: AppProtocol, policy: TrafficPolicyConfig?
  ) throws {
    self.link = link
    self.application = application
    self.policy = policy
    applicationPorts = (0..<applications).map { UInt16(3000 + $0) }
    clientListeners = [
      Self.listener("web", .outbound, port: Self.webPort) {
        $0.service = "default/web"
        $0.port = 80
      },
      Self.listener("echo", .outbound, port: Self.echoPort) {
        $0.service = "default/echo"
        $0.port = 90
      },
      Self.listener("greeter", .outbound, port: Self.greeterPort) {
        $0.service = "default/greeter"
        $0.port = 91
      },
      Self.listener("keys", .outbound, port: Self.keysPort) {
        $0.service = "default/keys"
        $0.port = 92
      },
    ]
    let mode: MutualTLSMode = link == .mutualTLS ? .strict : .disable
    let others = [Self.echoApplicationPort, Self.greeterApplicationPort, Self.keysApplicationPort]
    serverListeners = (applicationPorts + others).map { port in
      Self.listener("in-\(port)", .inbound, port: port - 1000) {
        $0.port = UInt32(port)
        $0.mutualTLS = mode
        $0.appProtocol =
          switch port {
          case Self.echoApplicationPort: .tcp
          case Self.greeterApplicationPort, Self.keysApplicationPort: .unspecified
          default: application
          }
      }
    }
    let opened: ([ListenerConfig]) -> [(config: ListenerConfig, descriptor: Int32)] = { listeners in
      listeners.compactMap { listener in
        SocketAddress(listener.address).map { (listener, kernel.listen($0.port).descriptor) }
      }
    }
    let serverConfiguration = CompiledConfiguration(Self.serverSnapshot(), listeners: serverListeners)
    server = try Worker.make(
      serverConfiguration, listeners: opened(serverListeners), credentials: credentials?.server,
      seed: kernel.random.next())
    let first = Self.clientSnapshot(link, applicationPorts, application, policy)
    client = try Worker.make(
      CompiledConfiguration(first, listeners: clientListeners), listeners: opened(clientListeners),
      credentials: credentials?.client, seed: kernel.random.next())
  }

  private static func listener(
    _ name: String, _ kind: ListenerKind, port: UInt16, _ fill: (inout ListenerConfig) -> Void
  ) -> ListenerConfig {
    var listener = ListenerConfig()
    listener.name = name
    listener.kind = kind
    listener.address = "127.0.0.1:\(port)"
    fill(&listener)
    return listener
  }

  private static func serverSnapshot() -> Snapshot {
    var snapshot = Snapshot()
    var node = NodeIdentity()
    node.namespace = "default"
    node.workload = "server"
    node.service = "web"
    node.trustDomain = "cluster.local"
    snapshot.node = node
    return snapshot
  }

  private static func clientSnapshot(
    _ link: Link, _ ports: [UInt16], _ application: AppProtocol, _ policy: TrafficPolicyConfig?
  ) -> Snapshot {
    var snapshot = serverSnapshot()
    snapshot.node?.workload = "client"
    let spoken: AppProtocol =
      switch link {
      case .mutualTLS: application
      case .plainHTTP1: .http
      case .plainHTTP2: .http2
      }
    snapshot.services = [
      service("web", 80, spoken, policy), service("echo", 90, .tcp, nil),
      service("greeter", 91, .unspecified, nil), service("keys", 92, .unspecified, nil),
    ]
    snapshot.workloads =
      ports.map { workload("web", $0, link) } + [
        workload("echo", echoApplicationPort, link), workload("greeter", greeterApplicationPort, link),
        workload("keys", keysApplicationPort, link),
      ]
    return snapshot
  }

  private static func service(
    _ name: String, _ number: UInt32, _ spoken: AppProtocol, _ policy: TrafficPolicyConfig?
  ) -> ServiceConfig {
    var port = ServicePort()
    port.number = number
    port.name = name
    port.appProtocol = spoken
    port.targetPortName = name
    var service = ServiceConfig()
    service.namespace = "default"
    service.name = name
    service.ports = [port]
    service.policy = policy
    return service
  }

  private static func workload(_ service: String, _ application: UInt16, _ link: Link) -> WorkloadConfig {
    var port = WorkloadPort()
    port.name = service
    var workload = WorkloadConfig()
    if link == .mutualTLS {
      port.appPort = UInt32(application)
      port.inboundPort = UInt32(application - 1000)
      workload.identity = SimulationCredentials.serverIdentity
    } else {
      port.appPort = UInt32(application - 1000)
    }
    workload.uid = "\(service)-\(application)"
    workload.namespace = "default"
    workload.name = service
    workload.address = "127.0.0.1"
    workload.ports = [port]
    workload.services = ["default/\(service)"]
    return workload
  }

  /// Puts another configuration in force at the client's sidecar: some of the applications, in another order.
  func adopt(applications: [UInt16]) {
    let fresh = CompiledConfiguration(
      Self.clientSnapshot(link, applications, application, policy), listeners: clientListeners)
    let worker = client
    worker.submit { worker.adopt(fresh) }
  }

  /// Lets the client's sidecar drain.
  func drain(until deadline: UInt64) {
    let worker = client
    worker.submit { worker.drain(until: deadline) {} }
  }
}
