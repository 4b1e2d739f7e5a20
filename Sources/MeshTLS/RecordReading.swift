import CNIOBoringSSL

// Reading of an open TLS 1.3 connection.

/// What a record, or a message in it, led to.
private enum Step {
  /// Go on with the next record.
  case next
  /// Plaintext was produced, this many bytes, straight to the caller.
  case produced(Int)
  /// There is plaintext, and no room for all of it.
  case spilled
  case closeNotify
  /// Tell the peer with `alert`, and end.
  case fail(TLSFailure, alert: UInt8)
  /// The peer ended the connection; nothing is to be said.
  case ended(TLSFailure)
}

/// Where a call's plaintext goes.
private struct Room {
  var base: UnsafeMutablePointer<UInt8>
  var capacity: Int
  var produced = 0

  var left: Int { capacity - produced }
}

extension TLSSession {
  /// `feed` for a connection whose records are ours.
  func readRecords(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ ciphertext: UnsafePointer<UInt8>?, _ count: Int,
    _ plaintext: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ output: UnsafeMutablePointer<TLSOutput>
  ) -> TLSReadResult {
    var room = Room(base: plaintext, capacity: capacity)
    var used = 0
    func result(_ state: TLSReadResult.State) -> TLSReadResult {
      TLSReadResult(consumed: used, produced: room.produced, state: state)
    }
    if layer.pointee.spilled.count > 0, !unspill(layer, &room) { return result(.plaintextFull) }
    while true {
      let record: UnsafePointer<UInt8>
      let isPartial: Bool
      switch nextRecord(layer, ciphertext, count, &used) {
      case .incomplete:
        if layer.pointee.partial.count == 0, !layer.pointee.keepsMemory { layer.pointee.partial.deallocate() }
        return result(.wantMore)
      case .refused(let failure, let alert):
        return result(refuse(layer, failure, alert, output))
      case .whole(let start, let partial):
        record = start
        isPartial = partial
      }
      let body = Int(record[3]) << 8 | Int(record[4])
      if room.left < body - TrafficKey.tagCount, room.produced > 0 { return result(.plaintextFull) }
      let step = take(layer, record, body, room, output)
      if isPartial { layer.pointee.partial.reset(keeping: .max) } else { used += 5 + body }
      switch step {
      case .next: continue
      case .produced(let bytes): room.produced += bytes
      case .spilled:
        if !unspill(layer, &room) { return result(.plaintextFull) }
      case .closeNotify:
        state.pointee.phase = .closedByPeer
        return result(.closeNotify)
      case .fail(let failure, let alert): return result(refuse(layer, failure, alert, output))
      case .ended(let failure): return result(fail(failure))
      }
    }
  }

  /// Gives plaintext that had no room; true when there is none left.
  private func unspill(_ layer: UnsafeMutablePointer<RecordLayer>, _ room: inout Room) -> Bool {
    let bytes = min(room.left, layer.pointee.spilled.count)
    if bytes > 0, let source = layer.pointee.spilled.base {
      (room.base + room.produced).update(from: source, count: bytes)
      room.produced += bytes
      layer.pointee.spilled.removeFirst(bytes)
    }
    guard layer.pointee.spilled.count == 0 else { return false }
    layer.pointee.spilled.deallocate()
    return true
  }

  private func refuse(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ failure: TLSFailure, _ alert: UInt8,
    _ output: UnsafeMutablePointer<TLSOutput>
  ) -> TLSReadResult.State {
    releaseHeld(to: output)
    RecordLayer.alert(layer, alert, output)
    return fail(failure)
  }

  private enum Found {
    case incomplete
    case refused(TLSFailure, alert: UInt8)
    /// Its header and body lie here; in the layer's own memory if its pieces came one by one.
    case whole(UnsafePointer<UInt8>, isPartial: Bool)
  }

  /// The next whole record, or keeps the beginning of it.
  private func nextRecord(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ ciphertext: UnsafePointer<UInt8>?, _ count: Int, _ used: inout Int
  ) -> Found {
    let held = layer.pointee.partial.count
    if held == 0 {
      guard let ciphertext, count - used > 0 else { return .incomplete }
      let available = count - used
      let start = ciphertext + used
      if available >= 5 {
        let body = Int(start[3]) << 8 | Int(start[4])
        if let refusal = check(start, body) { return refusal }
        if available >= 5 + body { return .whole(start, isPartial: false) }
        guard layer.pointee.partial.reserve(5 + body) != nil else { return noMemory }
      }
      guard layer.pointee.partial.append(start, available) else { return noMemory }
      used = count
      return .incomplete
    }
    guard complete(layer, to: 5, ciphertext, count, &used) else { return noMemory }
    guard layer.pointee.partial.count >= 5, let header = layer.pointee.partial.base else { return .incomplete }
    let body = Int(header[3]) << 8 | Int(header[4])
    if let refusal = check(header, body) { return refusal }
    guard complete(layer, to: 5 + body, ciphertext, count, &used) else { return noMemory }
    guard layer.pointee.partial.count >= 5 + body, let start = layer.pointee.partial.base else { return .incomplete }
    return .whole(UnsafePointer(start), isPartial: true)
  }

  private var noMemory: Found { .refused(.internalFailure, alert: TLSAlert.internalError) }

  /// Moves input to the record that is being pieced together until it has `size` bytes; false when there is no memory.
  private func complete(
    _ layer: UnsafeMutablePointer<RecordLayer>, to size: Int, _ ciphertext: UnsafePointer<UInt8>?, _ count: Int,
    _ used: inout Int
  ) -> Bool {
    let wanted = min(size - layer.pointee.partial.count, count - used)
    guard wanted > 0, let ciphertext else { return true }
    guard layer.pointee.partial.append(ciphertext + used, wanted) else { return false }
    used += wanted
    return true
  }

  /// After the handshake every record looks like data on the outside (section 5.2).
  private func check(_ header: UnsafePointer<UInt8>, _ body: Int) -> Found? {
    guard header[0] == RecordLayer.ContentType.data else {
      return .refused(.badRecord, alert: TLSAlert.unexpectedMessage)
    }
    guard body <= RecordLayer.longestBody else { return .refused(.badRecord, alert: TLSAlert.recordOverflow) }
    guard body > TrafficKey.tagCount else { return .refused(.badRecord, alert: TLSAlert.badRecordMAC) }
    return nil
  }

  /// Decrypts a record and does what it says.
  private func take(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ record: UnsafePointer<UInt8>, _ body: Int, _ room: Room,
    _ output: UnsafeMutablePointer<TLSOutput>
  ) -> Step {
    let spills = room.left < body - TrafficKey.tagCount
    let target: UnsafeMutablePointer<UInt8>
    if spills {
      guard let extra = layer.pointee.spilled.reserve(body) else {
        return .fail(.internalFailure, alert: TLSAlert.internalError)
      }
      target = extra
    } else {
      target = room.base + room.produced
    }
    var length = TrafficKey.open(layer.key(\.reading), record, body, target)
    guard length >= 0 else { return .fail(.badRecord, alert: TLSAlert.badRecordMAC) }
    guard length <= RecordLayer.longestContent + 1 else { return .fail(.badRecord, alert: TLSAlert.recordOverflow) }
    // The content's type is the last byte that is not padding.
    while length > 0, target[length - 1] == 0 { length -= 1 }
    guard length > 0 else { return .fail(.badRecord, alert: TLSAlert.unexpectedMessage) }
    length -= 1
    let type = target[length]
    if length == 0 {
      layer.pointee.emptyRecords &+= 1
      guard layer.pointee.emptyRecords <= RecordLayer.patience, type == RecordLayer.ContentType.data else {
        return .fail(.badRecord, alert: TLSAlert.unexpectedMessage)
      }
      return .next
    }
    guard layer.pointee.message.count == 0 || type == RecordLayer.ContentType.handshake else {
      return .fail(.protocolViolation, alert: TLSAlert.unexpectedMessage)
    }
    switch type {
    case RecordLayer.ContentType.data:
      layer.pointee.emptyRecords = 0
      layer.pointee.keyUpdates = 0
      guard spills else { return .produced(length) }
      layer.pointee.spilled.advance(length)
      return .spilled
    case RecordLayer.ContentType.alert: return takeAlert(layer, target, length)
    case RecordLayer.ContentType.handshake: return takeHandshake(layer, target, length, output)
    default: return .fail(.badRecord, alert: TLSAlert.unexpectedMessage)
    }
  }

  private func takeAlert(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ content: UnsafePointer<UInt8>, _ length: Int
  ) -> Step {
    guard length == 2 else { return .fail(.protocolViolation, alert: TLSAlert.decodeError) }
    switch content[1] {
    case TLSAlert.closeNotify: return .closeNotify
    case TLSAlert.userCanceled:
      layer.pointee.emptyRecords &+= 1
      guard layer.pointee.emptyRecords <= RecordLayer.patience else {
        return .fail(.badRecord, alert: TLSAlert.unexpectedMessage)
      }
      return .next
    default: return .ended(.peerAlert(content[1]))
    }
  }

  /// Tickets and key updates, the only messages after a handshake (section 4.6).
  private func takeHandshake(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ content: UnsafePointer<UInt8>, _ length: Int,
    _ output: UnsafeMutablePointer<TLSOutput>
  ) -> Step {
    guard layer.pointee.message.append(content, length) else {
      return .fail(.internalFailure, alert: TLSAlert.internalError)
    }
    while layer.pointee.message.count >= 4, let start = layer.pointee.message.base {
      let size = 4 + (Int(start[1]) << 16 | Int(start[2]) << 8 | Int(start[3]))
      guard size <= RecordLayer.longestMessage else { return .fail(.protocolViolation, alert: TLSAlert.decodeError) }
      guard layer.pointee.message.count >= size else { return .next }
      let step = takeMessage(layer, start, size, output)
      guard case .next = step else { return step }
      layer.pointee.message.removeFirst(size)
    }
    if layer.pointee.message.count == 0 { layer.pointee.message.deallocate() }
    return .next
  }

  private func takeMessage(
    _ layer: UnsafeMutablePointer<RecordLayer>, _ message: UnsafePointer<UInt8>, _ size: Int,
    _ output: UnsafeMutablePointer<TLSOutput>
  ) -> Step {
    let isServer = state.pointee.context.takeUnretainedValue().isServer
    switch message[0] {
    case 4 where !isServer:
      // The library is kept until the first ticket and no longer.
      guard let ssl = state.pointee.ssl else { return .next }
      guard let session = SSL_process_tls13_new_session_ticket(ssl, message, size) else {
        ERR_clear_error()
        return .fail(.protocolViolation, alert: TLSAlert.decodeError)
      }
      if let older = state.pointee.ticket { SSL_SESSION_free(older) }
      state.pointee.ticket = session
      releaseLibrary()
      return .next
    case 24:
      // The key changes with the next record, so this must be the end of this one.
      layer.pointee.keyUpdates &+= 1
      guard size == 5, layer.pointee.message.count == size, message[4] <= 1,
        layer.pointee.keyUpdates <= RecordLayer.patience
      else { return .fail(.protocolViolation, alert: TLSAlert.unexpectedMessage) }
      guard TrafficKey.update(layer.key(\.reading), suite: layer.pointee.suite) else {
        return .fail(.internalFailure, alert: TLSAlert.internalError)
      }
      if message[4] == 1 {
        releaseHeld(to: output)
        guard RecordLayer.updateWriting(layer, requestingPeer: false, output) else {
          return .fail(.internalFailure, alert: TLSAlert.internalError)
        }
      }
      return .next
    case 0, 1: return .fail(.renegotiation, alert: TLSAlert.unexpectedMessage)
    default: return .fail(.protocolViolation, alert: TLSAlert.unexpectedMessage)
    }
  }
}
