package import MeshHTTP

/// What peers may drive up, as `--limit NAME=VALUE` sets it. `docs/limits.md` has the table.
package struct ProxyLimits: Sendable {
  /// Heads, in both versions of HTTP: bytes, 1,024…61,440, default 61,440; fields, 8…128, default 100.
  package var headBytes = 60 * 1024
  package var headFields = 100
  /// Client connections of a worker, 1…1,000,000; default 50,000.
  package var connections = 50_000
  /// Silence in both directions of an answer that has begun, or of a tunnel, that ends it: seconds, 1…86,400, default 300.
  package var streamIdleSeconds = 300
  /// Time for a head to arrive whole, from its first byte: seconds, 1…3,600, default 15.
  package var headSeconds = 15
  /// Time in which 64 more bytes of a request's body must arrive: seconds, 1…3,600, default 15.
  package var bodySeconds = 15
  /// Time for a TLS handshake, from acceptance: seconds, 1…3,600, default 15.
  package var handshakeSeconds = 15
  /// Silence of a peer of HTTP/2 with open streams before a PING asks whether it is there: seconds, 1…3,600, default 30; and
  /// the time for its answer, 1…3,600, default 15.
  package var pingSeconds = 30
  package var pingAnswerSeconds = 15
  /// Time without requests after which a client's connection is ended: seconds, 1…604,800, default 3,600.
  package var connectionIdleSeconds = 3_600
  /// By how much all windows between proxies may grow on a worker, 0…4 GiB; default 64 MiB.
  package var windowGrowthBytes = 64 * 1024 * 1024
  /// HTTP/2 towards applications.
  package var edge = HTTP2Limits()
  /// HTTP/2 between proxies.
  package var mesh = HTTP2Limits.tunnel

  package init() {}

  /// What can be set, in the order of the documentation.
  package static var names: [String] { settings.map(\.name) }

  /// `streamIdleSeconds` as the clocks have it.
  var streamIdleNanoseconds: UInt64 { Self.nanoseconds(streamIdleSeconds) }

  /// `headSeconds` as the clocks have it.
  var headNanoseconds: UInt64 { Self.nanoseconds(headSeconds) }

  /// `bodySeconds` as the clocks have it.
  var bodyNanoseconds: UInt64 { Self.nanoseconds(bodySeconds) }

  /// `handshakeSeconds` as the clocks have it.
  var handshakeNanoseconds: UInt64 { Self.nanoseconds(handshakeSeconds) }

  /// `pingSeconds` as the clocks have it.
  var pingNanoseconds: UInt64 { Self.nanoseconds(pingSeconds) }

  /// `pingAnswerSeconds` as the clocks have it.
  var pingAnswerNanoseconds: UInt64 { Self.nanoseconds(pingAnswerSeconds) }

  /// `connectionIdleSeconds` as the clocks have it.
  var connectionIdleNanoseconds: UInt64 { Self.nanoseconds(connectionIdleSeconds) }

  private static func nanoseconds(_ seconds: Int) -> UInt64 { UInt64(clamping: seconds) &* 1_000_000_000 }

  /// The limits of HTTP/1.
  package var http1: HTTP1Limits { HTTP1Limits(maxHeadBytes: headBytes, maxFields: headFields) }

  /// Sets what `NAME=VALUE` says.
  ///
  /// - Throws: `UsageError` with the names there are, or the bounds.
  package mutating func set(_ text: String) throws(UsageError) {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, let setting = Self.settings.first(where: { $0.name == parts[0] }) else {
      let names = Self.settings.map(\.name).joined(separator: ", ")
      throw UsageError(message: "--limit wants NAME=VALUE, not \(text); the names are \(names)")
    }
    guard let value = Int(parts[1]), setting.bounds.contains(value) else {
      throw UsageError(
        message: "--limit \(setting.name) wants a number from \(setting.bounds.lowerBound) to "
          + "\(setting.bounds.upperBound), not \(parts[1])")
    }
    setting.apply(&self, value)
  }

  /// One limit that can be set.
  struct Setting: Sendable {
    let name: String
    let bounds: ClosedRange<Int>
    let apply: @Sendable (inout ProxyLimits, Int) -> Void

    init(_ name: String, _ bounds: ClosedRange<Int>, _ apply: @escaping @Sendable (inout ProxyLimits, Int) -> Void) {
      self.name = name
      self.bounds = bounds
      self.apply = apply
    }

    /// A limit of HTTP/2 that holds on both sides of a proxy.
    static func both(
      _ name: String, _ bounds: ClosedRange<Int>, _ apply: @escaping @Sendable (inout HTTP2Limits, Int) -> Void
    ) -> Setting {
      Setting(name, bounds) { limits, value in
        apply(&limits.edge, value)
        apply(&limits.mesh, value)
      }
    }
  }

  /// Every limit by name, in the order of the documentation.
  static let settings: [Setting] = [
    Setting("head-bytes", 1_024...61_440) { limits, value in
      limits.headBytes = value
      limits.edge.maxHeaderListBytes = value
      limits.mesh.maxHeaderListBytes = value
    },
    Setting("head-fields", 8...128) { limits, value in
      limits.headFields = value
      limits.edge.maxFields = value
      limits.mesh.maxFields = value
    },
    Setting("connections", 1...1_000_000) { $0.connections = $1 },
    Setting("head-seconds", 1...3_600) { $0.headSeconds = $1 },
    Setting("body-seconds", 1...3_600) { $0.bodySeconds = $1 },
    Setting("handshake-seconds", 1...3_600) { $0.handshakeSeconds = $1 },
    Setting("stream-idle-seconds", 1...86_400) { $0.streamIdleSeconds = $1 },
    Setting("connection-idle-seconds", 1...604_800) { $0.connectionIdleSeconds = $1 },
    Setting("ping-seconds", 1...3_600) { $0.pingSeconds = $1 },
    Setting("ping-answer-seconds", 1...3_600) { $0.pingAnswerSeconds = $1 },
    .both("streams", 1...10_000) { $0.maxConcurrentStreams = UInt32($1) },
    Setting("stream-window", 16_384...16_777_216) { $0.edge.streamWindowBytes = UInt32($1) },
    Setting("connection-window", 65_535...1_073_741_824) { $0.edge.connectionWindowBytes = UInt32($1) },
    Setting("mesh-stream-window", 16_384...16_777_216) { $0.mesh.streamWindowBytes = UInt32($1) },
    Setting("mesh-stream-window-limit", 16_384...67_108_864) { $0.mesh.streamWindowLimitBytes = UInt32($1) },
    Setting("mesh-window-growth", 0...1_073_741_824) { $0.mesh.windowGrowthBytes = UInt32($1) },
    Setting("worker-window-growth", 0...4_294_967_296) { $0.windowGrowthBytes = $1 },
    Setting("mesh-connection-window", 65_535...1_073_741_824) { $0.mesh.connectionWindowBytes = UInt32($1) },
    .both("header-table-bytes", 0...65_536) { $0.headerTableBytes = $1 },
    .both("continuations", 1...4_096) { $0.maxContinuations = $1 },
    .both("queued-control-frames", 10...100_000) { $0.maxQueuedControlFrames = $1 },
    .both("control-frames", 10...100_000) { $0.maxControlFrames = $1 },
    .both("empty-frames", 1...1_000) { $0.maxEmptyFrames = $1 },
    .both("priority-frames", 1...10_000) { $0.maxPriorityFramesPerStream = $1 },
    .both("window-updates", 1...1_000) { $0.maxWindowUpdatesPerFrame = $1 },
    .both("early-resets", 1...100_000) { $0.maxEarlyResets = $1 },
    .both("early-resets-of", 1...1_000_000) { $0.resetSample = $1 },
    .both("output-bytes", 16_384...1_048_576) { $0.maxOutputBytes = $1 },
  ]
}
