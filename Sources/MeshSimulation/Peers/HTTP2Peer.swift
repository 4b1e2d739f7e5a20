// Unsafe by design: the codec works on memory of its caller's.
internal import MeshHTTP
internal import MeshModel

/// One end of an HTTP/2 connection of a client or an application, on the codec that the proxies use too. What its
/// streams report goes to `happened`.
class HTTP2Peer: SocketActor {
  var codec: HTTP2Connection
  private let scratch: HTTP2Scratch
  private let fields: UnsafeMutablePointer<FieldRef>
  /// The connection has failed, by the codec's word.
  private(set) var failure: HTTP2Reason?

  init(_ kernel: SimulatedKernel, _ role: HTTP2Connection.Role, _ limits: HTTP2Limits) {
    codec = HTTP2Connection(role: role, limits: limits)
    fields = .allocate(capacity: FieldSet.capacity)
    fields.initialize(repeating: FieldRef(name: .empty, value: .empty, known: .other), count: FieldSet.capacity)
    scratch = HTTP2Scratch(
      arena: .allocate(capacity: limits.arenaBytes), arenaBytes: limits.arenaBytes, fields: fields,
      fieldCapacity: FieldSet.capacity)
    super.init(kernel)
  }

  deinit {
    scratch.release()
    fields.deallocate()
  }

  /// Limits with windows of a random size, in narrow worlds down to a byte.
  static func limits(_ kernel: SimulatedKernel) -> HTTP2Limits {
    var limits = HTTP2Limits()
    let windows: [UInt32] = kernel.profile.isNarrow ? [1, 1, 7, 50] : [3000, 20_000, 65_536, 1_048_576]
    limits.streamWindowBytes = windows[kernel.random.pick(windows.count)]
    limits.connectionWindowBytes = kernel.chance(1, of: 3) ? 65_535 : 1_048_576
    // A stream that comes before the limit is known may be refused, and a body of more than 64 KiB is not kept.
    limits.maxConcurrentStreams = kernel.profile.isCalm ? 100 : [1, 3, 100][kernel.random.pick(3)]
    return limits
  }

  /// An event of the codec's.
  func happened(_ event: HTTP2Event) {}

  enum ConnectionState { case open, ended, broken }

  /// Reads what there is, hands out events, sends what follows.
  func exchangeBytes() -> ConnectionState {
    var state = ConnectionState.open
    reading: while socket != nil, failure == nil {
      switch read() {
      case .nothing: break reading
      case .bytes(let piece): drive(piece)
      case .end:
        state = .ended
        break reading
      case .broken:
        state = .broken
        break reading
      }
    }
    if !send() { state = state == .open ? .broken : state }
    return socket == nil ? .broken : state
  }

  /// Sends what the codec has, and lets streams that wait for room go on.
  func send() -> Bool {
    while socket != nil {
      if output.isEmpty, codec.hasOutput {
        output = Array(codec.pendingOutput)
        codec.didWrite(output.count)
        drive([])
      }
      guard flush() else { return false }
      if !output.isEmpty || !codec.hasOutput { return true }
    }
    return false
  }

  private func drive(_ piece: ArraySlice<UInt8>) {
    // One byte at least, so that there is an address.
    let bytes = Array(piece) + [0]
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var input = HTTP2Input(base, count: piece.count)
      while true {
        let event = codec.next(&input, scratch)
        if case .needMore = event { return }
        if case .failed(let reason) = event {
          failure = reason
          return
        }
        happened(event)
      }
    }
  }

  /// Sends a piece of a body that is a function of its index; returns how many bytes were taken.
  func sendBody(
    _ stream: HTTP2Stream, from offset: Int, of count: Int, endStream: Bool, _ byte: (Int) -> UInt8
  ) -> Int? {
    let piece = (offset..<min(count, offset + 20_000)).map(byte) + [0]
    let size = piece.count - 1
    return piece.withUnsafeBufferPointer { buffer in
      buffer.baseAddress.flatMap {
        codec.sendData(stream, $0, size, endStream: endStream && offset + size == count)
      }
    }
  }

  /// A field's value, by its name in lower case.
  static func value(_ name: String, _ head: borrowing MessageHead) -> String? {
    for index in 0..<head.fieldCount where String(decoding: head.bytes(head.fields[index].name), as: UTF8.self) == name
    {
      return String(decoding: head.bytes(head.fields[index].value), as: UTF8.self)
    }
    return nil
  }

  func field(_ name: String, _ value: String) {
    var name = name
    var value = value + ""
    name.withUTF8 { nameBytes in
      value.withUTF8 { valueBytes in
        guard let nameStart = nameBytes.baseAddress, let start = valueBytes.baseAddress else { return }
        codec.field(name: nameStart, nameBytes.count, start, valueBytes.count)
      }
    }
  }
}
