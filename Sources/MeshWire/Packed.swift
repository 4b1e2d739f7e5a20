/// A message that is kept as it came, encoded: a tenth of the memory of what it says, and read again where it is needed.
/// Copies share the bytes; two that are the same memory are compared at once.
package struct Packed<Message: WireMessage>: Sendable, Equatable {
  /// The protobuf encoding, fields included that this program does not know.
  package let bytes: [UInt8]

  /// - Parameter bytes: what has been read as such a message before.
  package init(bytes: [UInt8]) { self.bytes = bytes }

  package init(_ message: Message) {
    self.init(copying: message.protobuf())
  }

  /// Memory of its own, of exactly its size: what was written has room to spare, and what was received lies between what
  /// is soon given back.
  package init(copying bytes: [UInt8]) {
    var exact: [UInt8] = []
    exact.reserveCapacity(bytes.count)
    exact += bytes
    self.bytes = exact
  }

  /// Nil: the bytes are not such a message.
  package var message: Message? { try? Message(protobuf: bytes) }

  /// Hands out the content of every occurrence of a field of text or bytes, without reading the others; what is damaged
  /// ends the walk.
  package func each(_ number: UInt32, _ body: (ArraySlice<UInt8>) -> Void) {
    walk { found, _, content in
      if found == number, let content { body(bytes[content]) }
    }
  }

  /// The encoding without some of the fields; what is damaged stands at its end as it is.
  func without(_ numbers: [UInt32]) -> [UInt8] {
    var rest: [UInt8] = []
    let end = walk { found, whole, _ in
      if !numbers.contains(found) { rest += bytes[whole] }
    }
    return rest + bytes[end...]
  }

  /// Field after field: the number, where it stands, and where its content does, if it has a length. Gives the place up to
  /// which there are whole fields.
  @discardableResult
  private func walk(_ body: (UInt32, Range<Int>, Range<Int>?) -> Void) -> Int {
    var place = 0
    var end = 0
    while case let start = place, let tag = varint(&place) {
      var content: Range<Int>?
      switch tag & 7 {
      case 0: guard varint(&place) != nil else { return start }
      case 1: place += 8
      case 5: place += 4
      case 2:
        guard let length = varint(&place), length <= UInt64(bytes.count - place) else { return start }
        content = place..<(place + Int(length))
        place += Int(length)
      default: return start
      }
      guard place <= bytes.count else { return start }
      body(UInt32(truncatingIfNeeded: tag >> 3), start..<place, content)
      end = place
    }
    return end
  }

  private func varint(_ place: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while place < bytes.count, shift < 64 {
      let byte = bytes[place]
      place += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    return nil
  }
}

/// A `Snapshot` whose many parts are packed.
package struct PackedSnapshot: Sendable, Equatable {
  /// Everything but services and workloads, of which it has none.
  package var common: Snapshot
  package var services: [Packed<ServiceConfig>]
  package var workloads: [Packed<WorkloadConfig>]

  package init(_ snapshot: Snapshot = Snapshot()) {
    common = snapshot
    common.services = []
    common.workloads = []
    services = snapshot.services.map { Packed($0) }
    workloads = snapshot.workloads.map { Packed($0) }
  }

  /// Reads the encoding of a `Snapshot`, but for services and workloads.
  package init(protobuf bytes: [UInt8]) throws(WireError) {
    let whole = Packed<Snapshot>(bytes: bytes)
    common = try Snapshot(protobuf: whole.without([3, 4]))
    services = []
    workloads = []
    var (services, workloads): ([Packed<ServiceConfig>], [Packed<WorkloadConfig>]) = ([], [])
    whole.each(3) { services.append(Packed(bytes: Array($0))) }
    whole.each(4) { workloads.append(Packed(bytes: Array($0))) }
    (self.services, self.workloads) = (services, workloads)
  }

  /// All of it as one message.
  package var unpacked: Snapshot {
    var snapshot = common
    snapshot.services = services.compactMap(\.message)
    snapshot.workloads = workloads.compactMap(\.message)
    return snapshot
  }

  /// The encoding of `unpacked`, without unpacking.
  package func protobuf() -> [UInt8] {
    var writer = ProtobufWriter(common.protobuf())
    writer.reserve(services.reduce(0) { $0 + $1.bytes.count + 6 } + workloads.reduce(0) { $0 + $1.bytes.count + 6 })
    for service in services { writer.delimited(3, service.bytes) }
    for workload in workloads { writer.delimited(4, workload.bytes) }
    return writer.bytes
  }
}
