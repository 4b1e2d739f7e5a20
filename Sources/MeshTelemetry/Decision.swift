package import MeshModel

/// What a proxy decided about one request or connection: a plain record for `apus why`, `apus tap` and `apus top`.
/// Texts lie beside it in the ring.
package struct Decision: Sendable, BitwiseCopyable {
  package struct Flags: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// All of a request's at once: the ways of an `OptionSet` are not specialized across modules.
    package init(inbound: Bool, mutualTLS: Bool, tunnel: Bool, localReply: Bool, raced: Bool, failed: Bool) {
      rawValue =
        (inbound ? 1 : 0) | (mutualTLS ? 2 : 0) | (tunnel ? 4 : 0) | (localReply ? 8 : 0) | (raced ? 16 : 0)
        | (failed ? 32 : 0)
    }

    /// The proxy beside the server says so; else the one beside the client.
    package static let inbound = Flags(rawValue: 1)
    package static let mutualTLS = Flags(rawValue: 2)
    /// TCP, CONNECT or an upgrade.
    package static let tunnel = Flags(rawValue: 4)
    /// The mesh answered itself.
    package static let localReply = Flags(rawValue: 8)
    /// The endpoint was just closing the connection that it was given; it was sent again at once.
    package static let raced = Flags(rawValue: 16)
    /// It counts as a failure: by its status, or by that of gRPC.
    package static let failed = Flags(rawValue: 32)
    /// A connection that ended before there was a request: refused, or its handshake failed.
    package static let connection = Flags(rawValue: 64)
  }

  /// Grows with every decision of the worker, from 1.
  package var sequence: UInt64 = 0
  /// When the request ended, milliseconds since 1970.
  package var wallMilliseconds: Int64 = 0
  package var durationNanoseconds: Int64 = 0
  /// From the start of the last attempt to the first byte of its answer; negative where there was no answer.
  package var upstreamNanoseconds: Int64 = -1
  package var requestBytes: UInt64 = 0
  package var responseBytes: UInt64 = 0
  /// Numbers of the `LabelDictionary`.
  package var edge: UInt32 = 0
  package var route: UInt32 = 0
  /// The limit that a breaker stood at, requests or connections; the length of the timeout that ended it, milliseconds;
  /// 0 where the reason has no number.
  package var limit: UInt32 = 0
  package var status: UInt16 = 0
  /// Status of a gRPC call; 255: it was none.
  package var grpcStatus: UInt8 = 255
  /// 0 where there was none.
  package var reason: UInt8 = 0
  /// Why the attempt before the end failed; 0 where none did.
  package var attemptReason: UInt8 = 0
  package var attempts: UInt8 = 0
  package var retries: UInt8 = 0
  package var method = Method.other
  package var flags: Flags = []
  /// The endpoint that was tried last: kernel's address family (0: none), 16 bytes of address, port.
  package var endpointFamily: Int32 = 0
  package var endpointAddress: (UInt64, UInt64) = (0, 0)
  package var endpointPort: UInt16 = 0
  /// How long a fault that a policy put in held the request back, milliseconds.
  package var delayMilliseconds: UInt32 = 0
  /// Who sent it: family (0: not known), 16 bytes of address, port.
  package var peerFamily: UInt16 = 0
  package var peerPort: UInt16 = 0
  package var peerAddress: (UInt64, UInt64) = (0, 0)

  package init() {}

  /// Whether somebody may ask why: a reason, a retry, a failure.
  package var isNotable: Bool {
    reason != 0 || attemptReason != 0 || retries > 0 || delayMilliseconds > 0 || flags.contains(.failed)
  }
}

/// The texts of a decision; they point into memory of the caller. Longer ones are cut.
package struct DecisionTexts {
  package typealias Bytes = UnsafeBufferPointer<UInt8>

  /// Most that is kept of each, bytes.
  package static let requestIDBytes = 64
  package static let authorityBytes = 64
  package static let pathBytes = 120
  package static let serviceBytes = 80
  package static let policyBytes = 80

  package var requestID = Bytes(start: nil, count: 0)
  package var authority = Bytes(start: nil, count: 0)
  /// Without its query, in which secrets travel.
  package var path = Bytes(start: nil, count: 0)
  /// `namespace/name`; empty where none was found.
  package var service = Bytes(start: nil, count: 0)
  /// `namespace/name` of the policy that refused the request or held it back, and the name of the limit where one did:
  /// `namespace/name/limit`; empty where none did.
  package var policy = Bytes(start: nil, count: 0)

  package init() {}
}

/// A decision with its texts, taken out of the ring.
package struct DecisionEntry: Sendable {
  package var decision: Decision
  package var requestID: String
  package var authority: String
  package var path: String
  package var service: String
  package var policy: String
  /// Attempts that failed; nil where none did.
  package var trail: AttemptTrail?
}

/// Which decisions are asked for.
package struct DecisionFilter: Sendable {
  /// Absent: any request.
  package var requestID: String?
  /// Only those of higher sequence numbers.
  package var after: UInt64
  /// Only those that somebody may ask why of.
  package var isNotable: Bool
  /// The most entries, newest first.
  package var limit: Int

  package init(requestID: String? = nil, after: UInt64 = 0, isNotable: Bool = false, limit: Int = 100) {
    self.requestID = requestID
    self.after = after
    self.isNotable = isNotable
    self.limit = max(0, limit)
  }
}

/// The last decisions of one loop, in memory of a fixed size: the newest of all, and, in a part of their own, the newest
/// that somebody may ask about, so that a busy hour does not wash a failure away. Writing allocates nothing. Not to be
/// shared between threads.
package final class DecisionRing {
  private static let textBytes =
    5 + DecisionTexts.requestIDBytes + DecisionTexts.authorityBytes + DecisionTexts.pathBytes
    + DecisionTexts.serviceBytes + DecisionTexts.policyBytes

  private struct Part {
    var decisions: UnsafeMutablePointer<Decision>
    var texts: UnsafeMutablePointer<UInt8>
    /// Only where decisions with failed attempts are kept.
    var trails: UnsafeMutablePointer<AttemptTrail>?
    let capacity: Int
    /// Ever written.
    var written = 0

    init(_ capacity: Int, hasTrails: Bool = false) {
      self.capacity = capacity
      decisions = .allocate(capacity: capacity)
      trails = hasTrails ? .allocate(capacity: capacity) : nil
      // Uninitialized: memory that is never written is never taken from the system.
      texts = .allocate(capacity: capacity * DecisionRing.textBytes)
    }

    func deallocate() {
      decisions.deallocate()
      texts.deallocate()
      trails?.deallocate()
    }
  }

  private struct State {
    var all: Part
    var notable: Part
    var sequence: UInt64 = 0
  }

  private let state: UnsafeMutablePointer<State>

  /// - Parameters:
  ///   - recent: decisions of any kind that are kept, 1…65,536. Default 1,024.
  ///   - notable: failures, retries and refusals that are kept, 1…65,536. Default 2,048.
  package init(recent: Int = 1_024, notable: Int = 2_048) {
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(all: Part(min(max(1, recent), 65_536)), notable: Part(min(max(1, notable), 65_536), hasTrails: true)))
  }

  deinit {
    state.pointee.all.deallocate()
    state.pointee.notable.deallocate()
    state.deallocate()
  }

  /// Decisions ever noted.
  package var count: UInt64 { state.pointee.sequence }

  /// Keeps a decision; the ring numbers it.
  /// - Parameter trail: its failed attempts; nil: there were none.
  package func note(_ decision: Decision, _ texts: DecisionTexts, trail: AttemptTrail? = nil) {
    var decision = decision
    state.pointee.sequence &+= 1
    decision.sequence = state.pointee.sequence
    Self.write(decision, texts, to: &state.pointee.all)
    guard decision.isNotable else { return }
    let slot = state.pointee.notable.written % state.pointee.notable.capacity
    if let trails = state.pointee.notable.trails { (trails + slot).initialize(to: trail ?? AttemptTrail()) }
    Self.write(decision, texts, to: &state.pointee.notable)
  }

  private static func write(_ decision: Decision, _ texts: DecisionTexts, to part: inout Part) {
    let slot = part.written % part.capacity
    part.written &+= 1
    (part.decisions + slot).initialize(to: decision)
    // One behind the other: most are short, and fewer lines of the cache are touched.
    var place = part.texts + slot &* textBytes
    put(texts.requestID, DecisionTexts.requestIDBytes, &place)
    put(texts.authority, DecisionTexts.authorityBytes, &place)
    put(texts.path, DecisionTexts.pathBytes, &place)
    put(texts.service, DecisionTexts.serviceBytes, &place)
    put(texts.policy, DecisionTexts.policyBytes, &place)
  }

  @inline(__always)
  private static func put(_ text: DecisionTexts.Bytes, _ most: Int, _ place: inout UnsafeMutablePointer<UInt8>) {
    let count = min(text.count, most)
    place[0] = UInt8(truncatingIfNeeded: count)
    if count > 0, let start = text.baseAddress { (place + 1).update(from: start, count: count) }
    place += 1 &+ count
  }

  /// The newest decisions that the filter lets through, newest first.
  package func entries(_ filter: DecisionFilter) -> [DecisionEntry] {
    // What is in both parts is taken from the one that has the attempts.
    var found: [DecisionEntry] = []
    collect(state.pointee.notable, filter, into: &found)
    if !filter.isNotable {
      var seen = Set(found.map(\.decision.sequence))
      var recent: [DecisionEntry] = []
      collect(state.pointee.all, filter, into: &recent)
      found += recent.filter { seen.insert($0.decision.sequence).inserted }
    }
    found.sort { $0.decision.sequence > $1.decision.sequence }
    return Array(found.prefix(filter.limit))
  }

  private func collect(_ part: Part, _ filter: DecisionFilter, into found: inout [DecisionEntry]) {
    let wanted = filter.requestID.map { Array($0.utf8.prefix(DecisionTexts.requestIDBytes)) }
    var number = part.written
    let oldest = max(0, part.written - part.capacity)
    while number > oldest, found.count < filter.limit {
      number -= 1
      let slot = number % part.capacity
      let decision = part.decisions[slot]
      if decision.sequence <= filter.after { break }
      var place = UnsafePointer(part.texts + slot * Self.textBytes)
      let requestID = Self.text(&place, DecisionTexts.requestIDBytes)
      if let wanted, !requestID.elementsEqual(wanted) { continue }
      let authority = Self.text(&place, DecisionTexts.authorityBytes)
      let path = Self.text(&place, DecisionTexts.pathBytes)
      let service = Self.text(&place, DecisionTexts.serviceBytes)
      let policy = Self.text(&place, DecisionTexts.policyBytes)
      let trail = part.trails?[slot]
      found.append(
        DecisionEntry(
          decision: decision, requestID: String(decoding: requestID, as: UTF8.self),
          authority: String(decoding: authority, as: UTF8.self), path: String(decoding: path, as: UTF8.self),
          service: String(decoding: service, as: UTF8.self), policy: String(decoding: policy, as: UTF8.self),
          trail: (trail?.count ?? 0) > 0 ? trail : nil))
    }
  }

  private static func text(_ place: inout UnsafePointer<UInt8>, _ most: Int) -> UnsafeBufferPointer<UInt8> {
    let text = UnsafeBufferPointer(start: place + 1, count: min(Int(place[0]), most))
    place += 1 + text.count
    return text
  }
}
