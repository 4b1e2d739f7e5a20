package import MeshModel

/// Limits of one HTTP/2 connection. Every queue and every count that a peer can drive up has one.
///
/// The codec has no clock: limits on frames that cost the peer nothing are counted against the useful traffic seen
/// since, and halved whenever the owner calls `HTTP2Connection.calm()` (every few seconds).
package struct HTTP2Limits: Sendable {
  /// Streams the peer may have open at once; 100.
  package var maxConcurrentStreams: UInt32 = 100
  /// Receive window of each stream in bytes; 64 KiB at the edge, larger in tunnels; at most 2^31 - 1.
  package var streamWindowBytes: UInt32 = 64 * 1024
  /// What a stream's window may grow to where the way is long and its reader quick, at most 2^31 - 1; no more than it
  /// begins with, as at the edge: it does not grow.
  package var streamWindowLimitBytes: UInt32 = 0
  /// By how much the windows of all streams of a connection may grow together, and its own with them; at most 1 GiB.
  package var windowGrowthBytes: UInt32 = 16 * 1024 * 1024
  /// Receive window of the connection in bytes; 1 MiB at the edge; 65,535 to 2^31 - 1.
  package var connectionWindowBytes: UInt32 = 1024 * 1024
  /// Largest head in bytes, counted as RFC 9113 section 6.5.2 does (names, values and 32 for each field); 60 KiB.
  package var maxHeaderListBytes: Int = 60 * 1024
  /// Largest number of fields in a head or trailer section; 100, at most `FieldSet.capacity`.
  package var maxFields: Int = 100
  /// Size of the dynamic table of each direction in bytes; 4096. 0 takes dynamic tables out of use.
  package var headerTableBytes: Int = 4096
  /// Frames one header block may be cut into; 512.
  package var maxContinuations: Int = 512
  /// Answers to the peer (acknowledgements, resets) that may wait in the output at once; 1000.
  package var maxQueuedControlFrames: Int = 1000
  /// SETTINGS, PING, unknown frames, interim heads and frames on closed streams, between useful frames of either side;
  /// 1000.
  package var maxControlFrames: Int = 1000
  /// Frames in a row that carry nothing: empty DATA or CONTINUATION without an end flag; 10.
  package var maxEmptyFrames: Int = 10
  /// PRIORITY frames for each stream that was opened (and one more); 100.
  package var maxPriorityFramesPerStream: Int = 100
  /// WINDOW_UPDATE frames for each DATA frame sent and each stream opened; 10, and 100 more.
  package var maxWindowUpdatesPerFrame: Int = 10
  /// Of `resetSample` streams in a row, this many may be reset early by the peer, or by us through its fault; 250.
  package var maxEarlyResets: Int = 250
  /// See `maxEarlyResets`; 500.
  package var resetSample: Int = 500
  /// Output bytes waiting, from which on `sendData` takes no more; 64 KiB.
  package var maxOutputBytes: Int = 64 * 1024
  /// Whether a server announces extended CONNECT (RFC 8441): WebSockets over HTTP/2; on.
  package var extendedConnect = true

  /// The defaults, which are those of an edge.
  package init() {}

  /// The defaults with the windows between proxies of a mesh: 256 KiB a stream, which is what a slow reader may cost in
  /// memory, up to 4 MiB for quick ones, and as much a connection as all its streams together may need, so that readers
  /// who have stopped do not keep the others waiting.
  package static var tunnel: HTTP2Limits {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 256 * 1024
    limits.streamWindowLimitBytes = 4 * 1024 * 1024
    limits.connectionWindowBytes = limits.maxConcurrentStreams * limits.streamWindowBytes
    return limits
  }

  /// The largest payload of a frame that this side takes: the smallest that the standard allows, 16 KiB.
  static let maxFrameBytes = 16 * 1024

  /// Bytes of arena that `HTTP2Scratch` needs for these limits.
  package var arenaBytes: Int { 2 * maxHeaderListBytes + 4 * Self.maxFrameBytes + HTTP2Scratch.doomedBytes }
}

/// Memory into which heads are decoded; one for each loop is enough, shared by all its connections. What an event
/// points to is valid until the next call.
package struct HTTP2Scratch {
  let arena: UnsafeMutablePointer<UInt8>
  let arenaBytes: Int
  let fields: UnsafeMutablePointer<FieldRef>
  let fieldCapacity: Int
  /// Streams that are reset further on in the input being read, a bit each.
  let doomed: UnsafeMutablePointer<UInt8>

  /// Scratch in memory of the caller's: `arenaBytes` at least `HTTP2Limits.arenaBytes`, `fieldCapacity` at least
  /// `HTTP2Limits.maxFields`.
  package init(
    arena: UnsafeMutablePointer<UInt8>, arenaBytes: Int, fields: UnsafeMutablePointer<FieldRef>, fieldCapacity: Int
  ) {
    self.arena = arena
    self.arenaBytes = arenaBytes - Self.doomedBytes
    self.fields = fields
    self.fieldCapacity = fieldCapacity
    doomed = arena + (arenaBytes - Self.doomedBytes)
  }

  /// Frees the arena; the fields stay their owner's.
  package func release() { arena.deallocate() }
}
