// Unsafe by design: a request in memory that is written once.
internal import MeshModel
package import MeshPolicy

/// A health check with its texts.
package struct HealthCheckSpec: Equatable, Sendable {
  package var settings = HealthCheckSettings()
  /// Of HTTP; default `/`.
  package var path = "/"
  package var host = ""
  /// Of gRPC; empty: the server as a whole.
  package var service = ""

  package init() {}

  /// By what the called proxy knows a check: its path, without a query; nil where it has none.
  package var requestPath: String? {
    switch settings.kind {
    case .tcp: nil
    case .http: path.split(separator: "?", omittingEmptySubsequences: false).first.map(String.init)
    case .grpc: Self.callPath
    }
  }

  /// What checks say of themselves: to applications in `user-agent`; to the called proxy in a field that no proxy passes on,
  /// so that an application cannot say it.
  static let marks = "user-agent: apus-health\r\n\(KnownHeader.apusHealth.name): check\r\n"
  static let callPath = "/grpc.health.v1.Health/Check"
}

/// The request of a health check, as HTTP/1.1.
final class ProbeRequest: @unchecked Sendable {
  // Unchecked: the memory is written in `init` and only read afterwards.
  let bytes: UnsafeBufferPointer<UInt8>
  let headLength: Int
  private let memory: UnsafeMutableBufferPointer<UInt8>

  /// Nil, and a check of the connection alone: no bytes.
  init(_ spec: HealthCheckSpec?) {
    var head = ""
    var body: [UInt8] = []
    switch spec?.settings.kind {
    case nil, .tcp?: break
    case .http?:
      head = "GET \(spec?.path ?? "/") HTTP/1.1\r\nhost: \(spec?.host ?? "")\r\n\(HealthCheckSpec.marks)\r\n"
    case .grpc?:
      // `HealthCheckRequest`: one string, field 1 (grpc.health.v1).
      let name = Array((spec?.service ?? "").utf8.prefix(120))
      let message = name.isEmpty ? [] : [0x0A, UInt8(name.count)] + name
      body = [0, 0, 0, 0, UInt8(message.count)] + message
      head =
        "POST \(HealthCheckSpec.callPath) HTTP/1.1\r\nhost: \(spec?.host ?? "")\r\n\(HealthCheckSpec.marks)"
        + "content-type: application/grpc\r\nte: trailers\r\ncontent-length: \(body.count)\r\n\r\n"
    }
    let all = Array(head.utf8) + body
    headLength = head.utf8.count
    memory = .allocate(capacity: max(1, all.count))
    _ = memory.initialize(from: all)
    bytes = UnsafeBufferPointer(rebasing: memory[..<all.count])
  }

  deinit { memory.deallocate() }
}
