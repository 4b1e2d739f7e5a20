// Unsafe by design: log fields point into the exchange's memory.
internal import CMeshSystem
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry

extension WorkerTelemetry {
  /// What the side thread reads.
  var rings: TelemetryCarrier.WorkerRings {
    TelemetryCarrier.WorkerRings(lines: ring, exported: exported, spans: spans)
  }

  /// Writes the lines of an exchange that has ended.
  ///
  /// - Parameters:
  ///   - edge: the number of the edge it is counted on.
  ///   - chance: a random number.
  func log(
    _ exchange: ExchangeRef, _ edge: UInt32, duration: Int64, wallNow: UInt64, flag: ResponseFlag, _ peers: PeerTable,
    object: UnsafeBufferPointer<UInt8>, chance: UInt64
  ) {
    let logs = plan.pointee.logs
    var record = AccessRecord()
    var isFilled = false
    var index = 0
    while index < logs.count {
      let log = logs.baseAddress.unsafelyUnwrapped + index
      index &+= 1
      guard
        log.pointee.condition.takes(
          status: exchange.pointee.status, durationNanoseconds: duration, reason: exchange.pointee.reason,
          // Each log draws for itself.
          chance: chance &* UInt64(truncatingIfNeeded: 2 &* index &+ 1))
      else { continue }
      if !isFilled {
        isFilled = true
        fill(&record, exchange, duration: duration, wallNow: wallNow, flag: flag, peers, object: object)
        record.destinationPrincipal = principals.pointee[edge]
      }
      let isWritten =
        log.pointee.goesToCollector
        ? export(record, log, wallNow: wallNow) : write(record, log)
      metrics.count(isWritten ? .accessLogLines : .accessLogDropped)
    }
  }

  private func write(_ record: borrowing AccessRecord, _ log: UnsafePointer<LogView>) -> Bool {
    defer { if ring.callsReader() { callCarrier() } }
    if log.pointee.program == nil, log.pointee.builtin == .json, let place = ring.reserve(record.longestJSON) {
      ring.commit(record.writeJSON(to: place, &clock.pointee))
      return true
    }
    var writer = FixedWriter(scratch)
    line(record, log, into: &writer)
    return writer.count > 0 && ring.append(writer.written)
  }

  private func callCarrier() {
    if carrierBell >= 0 { cms_event_raise(carrierBell) }
  }

  private func line(_ record: borrowing AccessRecord, _ log: UnsafePointer<LogView>, into writer: inout FixedWriter) {
    if let program = log.pointee.program {
      record.write(program, into: &writer)
    } else {
      record.write(log.pointee.builtin, into: &writer)
    }
  }

  /// A line for a collector, with what its record there says besides.
  private func export(_ record: borrowing AccessRecord, _ log: UnsafePointer<LogView>, wallNow: UInt64) -> Bool {
    guard let base = scratch.baseAddress, scratch.count > LogEntryHead.bytes else { return false }
    var writer = FixedWriter(base: base + LogEntryHead.bytes, capacity: scratch.count &- LogEntryHead.bytes)
    line(record, log, into: &writer)
    guard writer.count > 0 else { return false }
    var head = LogEntryHead()
    head.wallNanoseconds = wallNow
    (head.high, head.low, head.span) = (record.mark.high, record.mark.low, record.mark.span)
    head.lineBytes = UInt32(truncatingIfNeeded: writer.count)
    let status = record.status
    head.severity = status == 0 || status >= 500 ? 17 : status >= 400 ? 13 : 9
    head.isJSON = log.pointee.program.map { $0.isObject } ?? (log.pointee.builtin == .json)
    head.write(to: base)
    defer { if exported.callsReader() { callCarrier() } }
    return exported.append(UnsafeBufferPointer(start: base, count: LogEntryHead.bytes &+ writer.count))
  }

  /// What the lines say.
  private func fill(
    _ record: inout AccessRecord, _ exchange: ExchangeRef, duration: Int64, wallNow: UInt64, flag: ResponseFlag,
    _ peers: PeerTable, object: UnsafeBufferPointer<UInt8>
  ) {
    record.startMilliseconds = Int64(bitPattern: wallNow) / 1_000_000 &- duration / 1_000_000
    record.status = exchange.pointee.status
    record.flag = flag
    record.reason = exchange.pointee.reason
    record.requestBytes = exchange.pointee.requestBytes
    record.responseBytes = exchange.pointee.responseBytes
    record.durationNanoseconds = duration
    record.attempts = exchange.pointee.attempts
    record.mark = exchange.pointee.mark
    record.decidingObject = object
    if exchange.pointee.firstByte > 0 {
      record.upstreamNanoseconds = Int64(bitPattern: exchange.pointee.firstByte &- exchange.pointee.attemptStarted)
      record.responseNanoseconds = Int64(bitPattern: exchange.pointee.firstByte &- exchange.pointee.started)
    }
    if let base = exchange.pointee.request.bytes {
      let end = exchange.pointee.request.count
      record.method = Self.token(base, end)
      record.path = Self.part(base, exchange.pointee.path, end)
      record.authority = Self.part(base, exchange.pointee.authority, end)
      record.requestID = Self.part(base, exchange.pointee.requestID, end)
    }
    if !exchange.pointee.flags.contains(.tunnel) {
      record.httpVersion =
        exchange.pointee.wasStream ? "HTTP/2" : exchange.pointee.flags.contains(.http10) ? "HTTP/1.0" : "HTTP/1.1"
      record.grpcStatus = Self.grpcStatus(exchange)
    }
    if let cluster = exchange.pointee.cluster { record.upstreamService = cluster.pointee.label }
    if let routes = exchange.pointee.routes, exchange.pointee.rule >= 0 {
      record.route = routes.pointee.text(routes.pointee.rules[Int(exchange.pointee.rule)].label)
    } else if exchange.pointee.routeNumber != 0 {
      record.route = exchange.pointee.generation.pointee.streamRoute(
        of: exchange.pointee.asked, exchange.pointee.routeNumber)
    }
    record.sourcePrincipal = peers.entry(exchange.pointee.downstream.pointee.peer).pointee.identity
    addNotes(&record, exchange)
    addAddresses(&record, exchange)
  }

  /// Header fields that were kept, and the path as it came.
  private func addNotes(_ record: inout AccessRecord, _ exchange: ExchangeRef) {
    guard let block = exchange.pointee.observation, block.pointee.plan == plan.pointee.serial else { return }
    if !block.pointee.path.isEmpty { record.path = block.pointee.text(block.pointee.path) }
    record.forwardedFor = block.pointee.text(block.pointee.notes[TelemetryPlan.forwardedForPlace])
    record.userAgent = block.pointee.text(block.pointee.notes[TelemetryPlan.userAgentPlace])
    guard plan.pointee.hasPrograms else { return }
    var index = 0
    while index < 48 {
      noteTexts[index] = block.pointee.text(block.pointee.notes[index])
      index &+= 1
    }
    record.notes = UnsafeBufferPointer(start: noteTexts, count: 48)
  }

  private func addAddresses(_ record: inout AccessRecord, _ exchange: ExchangeRef) {
    var writer = FixedWriter(addresses)
    write(exchange.pointee.downstream.pointee.address, &writer)
    let split = writer.count
    if exchange.pointee.attempts > 0 { write(exchange.pointee.lastAddress, &writer) }
    let written = writer.written
    record.downstreamAddress = UnsafeBufferPointer(rebasing: written[..<split])
    record.upstreamHost = UnsafeBufferPointer(rebasing: written[split...])
  }

  static func part(_ base: UnsafePointer<UInt8>, _ range: ByteRange, _ end: Int) -> UnsafeBufferPointer<UInt8> {
    range.end <= end
      ? UnsafeBufferPointer(start: base + Int(range.offset), count: Int(range.length)) : .init(start: nil, count: 0)
  }

  /// The method: the bytes before the first space, or all where only parts were kept.
  static func token(_ base: UnsafePointer<UInt8>, _ end: Int) -> UnsafeBufferPointer<UInt8> {
    var index = 0
    while index < min(end, 32), base[index] &- 0x41 < 26 { index &+= 1 }
    return UnsafeBufferPointer(start: base, count: index)
  }

  /// `address:port`.
  private func write(_ address: SocketAddress, _ writer: inout FixedWriter) {
    if address.family == 2 {
      for shift in 0..<4 {
        if shift > 0 { writer.append(UInt8(ascii: ".")) }
        writer.append(decimal: (address.bytes.0 >> UInt64(8 * shift)) & 255)
      }
    } else if address.family != 0 {
      writer.append(UInt8(ascii: "["))
      if writer.remaining >= 64 { writer.advance(by: address.writeHost(to: writer.base + writer.count)) }
      writer.append(UInt8(ascii: "]"))
    }
    writer.append(UInt8(ascii: ":"))
    writer.append(decimal: UInt64(address.port))
  }
}
