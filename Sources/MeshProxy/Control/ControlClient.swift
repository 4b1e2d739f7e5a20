internal import MeshWire

final class ControlClient {
  var waitingFor: String { "the control plane" }
  init(_ proxy: Proxy) throws {}
  func start() {}
  func draining() {}
  static func cached(_ options: ProxyOptions, _ log: Log) -> Snapshot? { nil }
}
