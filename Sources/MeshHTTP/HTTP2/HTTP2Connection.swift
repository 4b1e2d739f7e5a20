// Unsafe by design: the state of a connection, whose parts hold raw memory.
/// One end of an HTTP/2 connection (RFC 9113): bytes in, events out, output gathered for the owner to send. It knows no
/// socket and no clock, allocates nothing in the steady state, and every count that a peer can drive up has a limit.
///
/// What only looks is `mutating` too where it is asked often: it is then handed the connection's place, where the compiler
/// would otherwise copy all of it (1.4 KB) to lend it.
///
/// The owner calls `next` until it answers `.needMore`, then sends `pendingOutput` and says so with `didWrite`. A
/// client that makes one call and reads the answer:
/// ```swift
/// var connection = HTTP2Connection(role: .client)
/// if let stream = connection.openRequest() {
///   connection.requestHead(stream, method: "POST", scheme: "https", authority: "control:15012", path:
///   "/service/Method") { $0.field(.contentType, "application/grpc")
///     $0.field(.te, "trailers")
///   }
///   _ = connection.sendData(stream, message, message.count, endStream: false)
/// }
/// // Whenever bytes have come, and once more after every write that made room:
/// var input = HTTP2Input(bytes, count: count)
/// loop: while true {
///   switch connection.next(&input, scratch) {
///   case .needMore: break loop
///   case .head(let stream, let head): …       // head.head.status; kind .trailers at the end
///   case .data(let stream, let data):          // copy or parse, then:
///     connection.consumed(stream, data.bytes.count)
///   case .writable(let stream): …              // go on with what sendData did not take
///   case .reset(let stream, let reset): …      // the stream is over
///   case .failed: …                            // flush, then close
///   case .settings, .pong, .goAway, .refused: continue
///   }
/// }
/// // Then: write connection.pendingOutput to the socket, and connection.didWrite(written).
/// ```
package struct HTTP2Connection: ~Copyable {
  /// Which end this is.
  package enum Role: UInt8, Sendable {
    case client, server
  }

  enum Phase: UInt8 {
    /// The server waits for the client's preface.
    case preface
    case frames
    case failed
  }

  /// What the peer's SETTINGS say.
  struct PeerSettings {
    var seen = false
    var initialWindow: Int64 = 65_535
    var maxFrameBytes = 16_384
    var maxStreams = UInt32.max
    var extendedConnect = false
  }

  /// The DATA frame that is being read.
  struct DataFrame {
    var active = false
    /// Nil: what is read is thrown away.
    var stream: HTTP2Stream?
    /// Payload bytes still to come, padding not counted once it is known.
    var left = 0
    var padding = 0
    var padLengthPending = false
    var endStream = false
  }

  /// The header block that is being read.
  struct HeaderBlock {
    /// 0: none.
    var stream: UInt32 = 0
    var endStream = false
    /// The stream is said to depend on itself.
    var selfDependent = false
    var continuations = 0
  }

  /// What peers can drive up, counted.
  struct Counters {
    var control = 0
    var queuedControl = 0
    var empty = 0
    var priority = 0
    var windowUpdates = 0
    var earlyResets = 0
    var sampledStreams = 0
    var streamsOpened = 0
    var dataFramesSent = 0
  }

  /// Which end this is.
  package let role: Role
  let limits: HTTP2Limits
  /// What windows of the same loop have grown by; nil: the connection is alone.
  let growth: UnsafeMutablePointer<HTTP2Growth>?
  var phase: Phase
  var prefaceRead = 0
  var stash = HTTP2Buffer()
  var block = HTTP2Buffer()
  var output = HTTP2Buffer()
  var names = HTTP2Buffer()
  var decoder: HPACKDecoder
  var encoder: HPACKEncoder
  var streams = HTTP2StreamTable()
  var data = DataFrame()
  var headerBlock = HeaderBlock()
  var peer = PeerSettings()
  var counters = Counters()
  var sendWindow: Int64 = 65_535
  var receiveWindow: Int64 = 65_535
  var unannounced: Int64 = 0
  /// Receive window of new streams: the standard's until the peer has acknowledged ours.
  var streamWindow: Int64 = 65_535
  var probe = WindowProbe()
  var settingsAcknowledged = false
  var lastPeerID: UInt32 = 0
  /// Bit k: the peer opened the stream k places before its last one, rather than leaving its identifier out.
  var openedBits: UInt64 = 0
  var nextLocalID: UInt32 = 1
  /// The last stream that our GOAWAY promises to serve.
  var goAwaySent: UInt32?
  var goAwayReceived: UInt32?
  /// Slots still to be looked at for streams that the peer's GOAWAY leaves out.
  var goAwaySweep = UInt32.max
  var drainPingPending = false
  var readyFirst = HTTP2StreamTable.none
  var readyLast = HTTP2StreamTable.none
  /// The stream whose last event has been reported; its slot is given back at the next call.
  var retired: HTTP2Stream?
  /// Streams this side has reset lately: what the peer sent before it knew is not held against it.
  var recentResets: InlineArray<128, UInt32> = InlineArray(repeating: 0)
  var recentReset = 0
  /// Streams after this one may be reset further on in the input being read: see `lookAhead`.
  var doomedAfter: UInt32?
  /// Where the open header block begins in the output; -1 if none is open.
  var headStart = -1
  /// Whether a stream was refused data because the output is full.
  var outputBlocked = false

  /// The opaque data of the PING that separates the two GOAWAYs of a drain.
  static let drainPing: UInt64 = 0x6170_7573_2064_7261

  /// A fresh connection. Its preface and SETTINGS are in the output at once.
  ///
  /// - Parameters:
  ///   - huffman: whether field values are sent in HPACK's Huffman code, to spend time on saving bytes.
  ///   - growth: the account of the loop's windows, in memory that outlives the connection: see `giveBackGrowth`.
  package init(
    role: Role, limits: HTTP2Limits = HTTP2Limits(), huffman: Bool = false,
    growth: UnsafeMutablePointer<HTTP2Growth>? = nil
  ) {
    self.role = role
    self.limits = limits
    self.growth = growth
    phase = role == .server ? .preface : .frames
    decoder = HPACKDecoder(tableBytes: limits.headerTableBytes)
    encoder = HPACKEncoder(tableBytes: limits.headerTableBytes, huffman: huffman)
    writePreface()
  }

  /// The bytes to send; valid until the connection is changed.
  package var pendingOutput: UnsafeBufferPointer<UInt8> { mutating get { output.bytes } }

  /// Whether there is anything to send.
  package var hasOutput: Bool { mutating get { output.count > 0 } }

  /// Says that the first `count` bytes of `pendingOutput` are sent. Call `next` afterwards (with empty input, if there
  /// is no other): streams that waited for room are reported as writable.
  package mutating func didWrite(_ count: Int) {
    output.consume(count)
    if output.count == 0 { counters.queuedControl = 0 }
    if outputBlocked, output.count <= limits.maxOutputBytes / 2 {
      outputBlocked = false
      releaseBlocked()
    }
  }

  /// Streams that are open.
  package var openStreams: Int { mutating get { streams.count - (retired == nil ? 0 : 1) } }

  /// Whether the connection is broken: flush and close.
  package var isFailed: Bool { phase == .failed }

  /// Whether the last GOAWAY has been written and no stream is open: flush and close.
  package var isDrained: Bool { mutating get { goAwaySent != nil && !drainPingPending && openStreams == 0 } }

  /// Whether a client may open another stream now.
  package var canOpenStream: Bool {
    mutating get {
      role == .client && phase == .frames && goAwayReceived == nil && goAwaySent == nil && nextLocalID < 0x7FFF_FFFF
        && openStreams < Int(peer.seen ? peer.maxStreams : min(peer.maxStreams, 100))
    }
  }

  /// Whether the peer is a server that takes extended CONNECT (RFC 8441).
  package var peerTakesExtendedConnect: Bool { mutating get { peer.extendedConnect } }

  /// The owner's word for a stream, 0 until it is set; also still there while the stream's last event is handled.
  package mutating func tag(_ stream: HTTP2Stream) -> UInt { streams.slot(stream)?.pointee.tag ?? 0 }

  /// Sets the owner's word for a stream.
  package mutating func setTag(_ stream: HTTP2Stream, _ tag: UInt) { streams.slot(stream)?.pointee.tag = tag }

  /// What the first bytes of a connection are.
  package enum PrefaceMatch: Sendable {
    case yes, no
    /// They are its beginning.
    case maybe
  }

  /// Whether a connection begins with the preface of an HTTP/2 client, up to where it differs from every request line
  /// of HTTP/1 (RFC 9113, section 3.4).
  package static func beginsWithPreface(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> PrefaceMatch {
    // `PRI * HTTP/2.0`
    let distinct = 14
    for index in 0..<min(count, distinct) where bytes[index] != preface.utf8Start[index] { return .no }
    return count >= distinct ? .yes : .maybe
  }

  /// Whether a header block has begun and not ended.
  package var isMidHead: Bool { headerBlock.stream != 0 }

  /// Whether the peer's SETTINGS have come.
  package var hasPeerSettings: Bool { mutating get { peer.seen } }

  /// An open stream at or behind place `index` of the table, and the place to go on from; for owners that end all
  /// streams of a broken connection.
  package mutating func openStream(from index: Int) -> (stream: HTTP2Stream, next: Int)? {
    var index = max(0, index)
    while index < streams.capacity {
      let place = UInt32(truncatingIfNeeded: index)
      index &+= 1
      guard let slot = streams.slot(place), slot.pointee.id != 0 else { continue }
      let stream = HTTP2Stream(id: slot.pointee.id, slot: place)
      if stream != retired { return (stream, index) }
    }
    return nil
  }

  /// How many bytes of body the windows let `sendData` take for this stream now.
  package mutating func sendCapacity(_ stream: HTTP2Stream) -> Int {
    guard phase == .frames, let slot = streams.slot(stream), !slot.pointee.flags.contains(.localEnded) else { return 0 }
    let window = max(0, min(sendWindow, slot.pointee.sendWindow))
    return min(Int(window), max(0, limits.maxOutputBytes - output.count))
  }

  /// Whether this stream is open for sending.
  package mutating func canSend(_ stream: HTTP2Stream) -> Bool {
    guard phase == .frames, let slot = streams.slot(stream), retired != stream else { return false }
    return !slot.pointee.flags.contains(.localEnded)
  }

  /// Call every few seconds: what peers have done long ago is forgiven, and memory that waits for nothing is given
  /// back.
  package mutating func calm() {
    counters.control /= 2
    counters.priority /= 2
    counters.windowUpdates /= 2
    stash.trim()
    output.trim()
    names.trim()
    if headerBlock.stream == 0 { block.trim() }
  }

  /// Begins to go away (RFC 9113, section 6.8): a server announces it with a first GOAWAY that refuses nothing yet, and
  /// settles the last stream in a second one once the peer has answered a PING. Streams go on to their end.
  package mutating func drain() {
    guard goAwaySent == nil, phase == .frames || phase == .preface else { return }
    if role == .client {
      goAwaySent = lastPeerID
      return writeGoAway(lastPeerID, .noError)
    }
    goAwaySent = 0x7FFF_FFFF
    drainPingPending = true
    writeGoAway(0x7FFF_FFFF, .noError)
    writePing(Self.drainPing, ack: false)
  }

  /// Settles the last stream of a drain now, without waiting for the peer's answer to the PING.
  package mutating func finishDrain() {
    guard drainPingPending, phase != .failed else { return }
    drainPingPending = false
    goAwaySent = lastPeerID
    writeGoAway(lastPeerID, .noError)
  }
}
