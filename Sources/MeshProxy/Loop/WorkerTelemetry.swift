// Unsafe by design: exchanges are plain structs.
internal import MeshModel

/// What one worker counts.
package final class WorkerTelemetry {
  var ejections: UInt64 = 0
  init() {}
  func count(_ reason: Reason) {}
  func adopt(_ configuration: CompiledConfiguration) {}
  func tunnelOpened(_ exchange: ExchangeRef) {}
  func record(_ exchange: ExchangeRef, endpoint: EndpointRef?, now: UInt64, wallNow: UInt64, peers: inout PeerTable) {}
}
