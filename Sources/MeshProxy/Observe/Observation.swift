// Unsafe by design: what is kept of a request lies in blocks of the worker.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

typealias ObservationRef = UnsafeMutablePointer<Observation>

/// What is kept of a request while it is under way, for its span and its line in the log: header fields that somebody
/// asks for. A block of a fixed size; requests that nobody asks anything of have none.
struct Observation {
  /// Room for texts: fields, and the path as the client sent it.
  static let textBytes = 3_072
  /// Most of one field.
  private static let maxFieldBytes = 512

  var next: ObservationRef?
  /// The plan that its places belong to.
  var plan: UInt32 = 0
  /// A span is recorded.
  var isSampled = false
  /// Fields by their places: of the request, then of the response.
  var notes = InlineArray<48, ByteRange>(repeating: .empty)
  /// Path and query as they came.
  var path = ByteRange.empty
  /// The answer's head, as lines; only while somebody watches.
  var responseHead = ByteRange.empty
  private var used = 0
  let texts: UnsafeMutablePointer<UInt8>

  init() { texts = .allocate(capacity: Self.textBytes) }

  /// Begins anew.
  ///
  /// - Parameter wanted: places of each direction that the plan has; the others are never written.
  mutating func reset(plan: UInt32, wanted: (request: Int, response: Int)) {
    // Places of another plan may lie anywhere.
    if self.plan != plan { notes = InlineArray<48, ByteRange>(repeating: .empty) }
    self.plan = plan
    isSampled = false
    var place = 0
    while place < min(wanted.request, WantedFields.limit) {
      notes[place] = .empty
      place &+= 1
    }
    place = 0
    while place < min(wanted.response, WantedFields.limit) {
      notes[WantedFields.limit &+ place] = .empty
      place &+= 1
    }
    path = .empty
    responseHead = .empty
    used = 0
  }

  /// Keeps a text; what does not fit is cut.
  mutating func keep(_ text: UnsafeBufferPointer<UInt8>, most: Int = Observation.maxFieldBytes) -> ByteRange {
    let count = min(text.count, min(most, Self.textBytes &- used))
    guard count > 0, let start = text.baseAddress else { return .empty }
    (texts + used).update(from: start, count: count)
    let range = ByteRange(offset: UInt32(truncatingIfNeeded: used), length: UInt32(truncatingIfNeeded: count))
    used &+= count
    return range
  }

  /// Keeps the path and the query behind it.
  mutating func keepPath(_ path: UnsafeBufferPointer<UInt8>, query: UnsafeBufferPointer<UInt8>) {
    var range = keep(path, most: 1_024)
    if !query.isEmpty, used < Self.textBytes {
      texts[used] = 0x3F
      used &+= 1
      range.length &+= 1 &+ keep(query, most: 1_024).length
    }
    self.path = range
  }

  /// Keeps the fields of the answer's head, as far as there is room, behind a line of their own.
  mutating func keepResponse(_ head: borrowing MessageHead) {
    var writer = FixedWriter(base: texts + used, capacity: Self.textBytes &- used)
    // Where a head has its first line.
    writer.append("HTTP\n")
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      writer.append(head.bytes(field.name))
      writer.append(": ")
      writer.append(head.bytes(field.value))
      writer.append("\n")
      index &+= 1
    }
    keepWritten(writer.count)
  }

  /// Keeps a head that the mesh itself has written, as HTTP/1 has it.
  mutating func keepResponse(_ head: UnsafeBufferPointer<UInt8>) {
    responseHead = keep(head, most: Self.textBytes)
  }

  private mutating func keepWritten(_ count: Int) {
    responseHead = ByteRange(offset: UInt32(truncatingIfNeeded: used), length: UInt32(truncatingIfNeeded: count))
    used &+= count
  }

  func text(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: texts + Int(range.offset), count: Int(range.length))
  }
}

/// Blocks that wait to be used again.
struct ObservationPool {
  /// Most that wait; more go back to the system.
  private static let limit = 512

  private var first: ObservationRef?
  private var count = 0

  mutating func take(plan: UnsafePointer<TelemetryView>) -> ObservationRef {
    let wanted = (plan.pointee.requestFields.count, plan.pointee.responseFields.count)
    guard let found = first else {
      let fresh = ObservationRef.allocate(capacity: 1)
      fresh.initialize(to: Observation())
      fresh.pointee.reset(plan: plan.pointee.serial, wanted: wanted)
      return fresh
    }
    first = found.pointee.next
    count &-= 1
    found.pointee.next = nil
    found.pointee.reset(plan: plan.pointee.serial, wanted: wanted)
    return found
  }

  mutating func giveBack(_ block: ObservationRef) {
    guard count < Self.limit else {
      block.pointee.texts.deallocate()
      return block.deallocate()
    }
    block.pointee.next = first
    first = block
    count &+= 1
  }

  mutating func deallocate() {
    while let block = first {
      first = block.pointee.next
      block.pointee.texts.deallocate()
      block.deallocate()
    }
    count = 0
  }
}

extension Worker {
  /// A request's head is there: finds out where it stands in its trace, decides whether a span is recorded, and keeps what
  /// logs and tags ask for.
  func observe(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    let plan = telemetry.plan
    if plan.pointee.checks.count > 0 { exchange.pointee.isHealthCheck = isHealthCheck(exchange, head, plan) }
    var mark = TraceFields.read(head)
    var share = plan.pointee.share
    var isForced = false
    var candidate: UInt64 = 0
    if plan.pointee.isTracing {
      // Who is not of the mesh does not decide what it costs.
      if isTrusted(exchange) { isForced = asksForTrace(head, plan) }
      if mark.flags.contains(.undecided) { share = self.share(head, plan) }
    }
    if !mark.isPresent { candidate = random.next() }
    let decision = SamplingDecision.decide(
      mark, isOn: plan.pointee.isTracing, isForced: isForced, share: share, candidate: candidate)
    if !mark.isPresent || decision.isRecorded {
      mark = mark.continued(decision, ids: (mark.isPresent ? 0 : random.next(), candidate, random.next()))
    } else {
      mark = mark.continued(decision, ids: (0, 0, 0))
    }
    mark.flags.formUnion(plan.pointee.forms)
    exchange.pointee.mark = mark
    if exchange.pointee.isHealthCheck { return }
    if decision.isRecorded || plan.pointee.keepsAll || now < telemetry.headsUntil {
      keep(exchange, head, plan, isSampled: decision.isRecorded)
    }
  }

  /// Whether a proxy of the mesh asks how the application is: the peer is of the mesh, and the mark is its proxy's, since
  /// proxies pass it on from nobody. The path is compared too, for peers whose proxies are of another make.
  private func isHealthCheck(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ plan: UnsafePointer<TelemetryView>
  ) -> Bool {
    guard exchange.pointee.isInbound, exchange.pointee.flags.contains(.mutualTLS), head.first(.apusHealth) != nil
    else { return false }
    let path = head.bytes(head.path)
    var index = 0
    while index < plan.pointee.checks.count {
      if Self.equal(path, plan.pointee.checks[index]) { return true }
      index &+= 1
    }
    return false
  }

  private static func equal(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    var index = 0
    while index < left.count {
      if left[index] != right[index] { return false }
      index &+= 1
    }
    return true
  }

  /// Whether the caller is the application beside the proxy, or of the mesh.
  private func isTrusted(_ exchange: ExchangeRef) -> Bool {
    listeners[Int(exchange.pointee.downstream.pointee.listener)].kind != .inbound
      || exchange.pointee.flags.contains(.mutualTLS)
  }

  private func asksForTrace(_ head: borrowing MessageHead, _ plan: UnsafePointer<TelemetryView>) -> Bool {
    let force = plan.pointee.force
    guard let found = HeaderSearch.first(force.name, force.known, head) else { return false }
    let value = head.bytes(found)
    return value.count == 1 && value[0] == 0x31 || value.count == 4 && value[0] | 0x20 == 0x74
  }

  /// The share of traces that begin with such a request.
  private func share(_ head: borrowing MessageHead, _ plan: UnsafePointer<TelemetryView>) -> SamplingShare {
    guard let rules = plan.pointee.rules else { return plan.pointee.share }
    let hit = rules.pointee.match(head)
    guard !hit.isNone, Int(hit.rule) < plan.pointee.ruleShares.count else { return plan.pointee.share }
    return plan.pointee.ruleShares[Int(hit.rule)]
  }

  private func keep(
    _ exchange: ExchangeRef, _ head: borrowing MessageHead, _ plan: UnsafePointer<TelemetryView>, isSampled: Bool
  ) {
    let block = telemetry.observations.pointee.take(plan: plan)
    block.pointee.isSampled = isSampled
    exchange.pointee.observation = block
    Self.keepFields(plan.pointee.requestFields, at: 0, head, block)
    if plan.pointee.keepsAll {
      block.pointee.keepPath(head.bytes(head.path.isEmpty ? head.target : head.path), query: head.bytes(head.query))
    }
  }

  private static func keepFields(
    _ wanted: UnsafeBufferPointer<WantedField>, at place: Int, _ head: borrowing MessageHead, _ block: ObservationRef
  ) {
    var index = 0
    while index < wanted.count {
      if let value = HeaderSearch.first(wanted[index].name, wanted[index].known, head) {
        block.pointee.notes[place &+ index] = block.pointee.keep(head.bytes(value))
      }
      index &+= 1
    }
  }

  /// The head of the answer that goes to the client is there.
  func noteResponse(_ exchange: ExchangeRef, _ head: borrowing MessageHead) {
    guard let block = exchange.pointee.observation else { return }
    if now < telemetry.headsUntil { block.pointee.keepResponse(head) }
    guard block.pointee.plan == telemetry.plan.pointee.serial else { return }
    Self.keepFields(telemetry.plan.pointee.responseFields, at: WantedFields.limit, head, block)
  }

  /// The mesh answers itself, with this head.
  func noteReply(_ exchange: ExchangeRef, _ head: UnsafeBufferPointer<UInt8>) {
    guard now < telemetry.headsUntil, let block = exchange.pointee.observation else { return }
    block.pointee.keepResponse(head)
  }

  /// The exchange has ended: counts it, and tells of it.
  func recordTelemetry(_ exchange: ExchangeRef) {
    var object = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    if let reason = exchange.pointee.reason, let found = decidingObject(exchange, reason) { object = found }
    let chance = telemetry.plan.pointee.keepsAll ? random.next() : 0
    telemetry.record(exchange, now: now, wallNow: wallNow, peers: peers, object: object, chance: chance)
  }

  /// Writes the fields by which the next hop finds the trace.
  func writeTrace(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef) {
    if !exchange.pointee.mark.isPresent {
      // Bytes that are not HTTP: a trace that nobody records.
      let (ids, read) = ((random.next(), random.next(), random.next()), TraceMark())
      exchange.pointee.mark = read.continued(.off, ids: ids)
    }
    let mark = exchange.pointee.mark
    writer.fields { TraceFields.write(mark, into: &$0) }
  }

  /// Whether a field of the request is left out because `writeTrace` says it anew.
  func replacesTrace(_ field: FieldRef, _ exchange: ExchangeRef) -> Bool {
    field.known != .tracestate || exchange.pointee.mark.flags.contains(.dropsState)
  }
}
