import MeshModel
import MeshTLS
import Testing

/// The records of open connections: ours against the library's, and against peers that break the rules.
@Suite("TLS records")
struct RecordTests {
  static let kinds: [(TLSRecords, TLSRecords)] = [
    (.own, .own), (.own, .library), (.library, .own), (.library, .library),
  ]

  private func pair(
    _ client: TLSRecords = .own, _ server: TLSRecords = .own, tickets: Bool = true
  ) throws -> TestPair {
    let mesh = try TestMesh()
    let pair = try TestPair(
      client: mesh.client { $0.records = client },
      server: mesh.server {
        $0.records = server
        $0.ticketKeys = tickets ? TLSTicketKeys() : nil
      })
    pair.handshake()
    return pair
  }

  @Test("the library reads what we write and we read what it writes, of every length", arguments: RecordTests.kinds)
  func interoperation(kinds: (TLSRecords, TLSRecords)) throws {
    let pair = try pair(kinds.0, kinds.1)
    for step in [Int.max, 1000, 5, 1] {
      pair.step = step
      for length in [1, 2, 15, 16, 17, 100, 16_383, 16_384, 16_385, 40_000] where step > 5 || length < 200 {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ step) }
        pair.client.received = []
        pair.server.received = []
        #expect(pair.send(payload, from: pair.client) == nil)
        #expect(pair.send(payload, from: pair.server) == nil)
        #expect(pair.server.received == payload)
        #expect(pair.client.received == payload)
      }
    }
    let ticket = try #require(pair.client.session.takeTicket())
    ticket.free()
    pair.client.session.shutdown(output: pair.client.output)
    pair.exchange()
    #expect(pair.server.state == .closeNotify)
    pair.server.session.shutdown(output: pair.server.output)
    pair.exchange()
    #expect(pair.client.state == .closeNotify)
  }

  @Test("keys are changed by either side, with and without asking the other", arguments: RecordTests.kinds)
  func keyUpdates(kinds: (TLSRecords, TLSRecords)) throws {
    let pair = try pair(kinds.0, kinds.1)
    for round in 0..<40 {
      for side in [pair.client, pair.server] {
        #expect(side.session.updateKeys(requestingPeer: round % 2 == 0, output: side.output))
        pair.exchange()
        pair.client.received = []
        pair.server.received = []
        #expect(pair.send([1, 2, 3], from: pair.client) == nil)
        #expect(pair.send([4, 5], from: pair.server) == nil)
        #expect(pair.server.received == [1, 2, 3])
        #expect(pair.client.received == [4, 5])
      }
    }
  }

  @Test("a flood of key updates or of empty records ends the connection")
  func floods() throws {
    let updates = try pair()
    for _ in 0..<32 { try updates.sendHostile(24 - 2, [24, 0, 0, 1, 0], from: updates.client) }
    #expect(updates.server.state == .failure(.badRecord), "the second update is under the old key")
    let honest = try pair()
    for _ in 0..<32 { #expect(honest.client.session.updateKeys(requestingPeer: true, output: honest.client.output)) }
    honest.exchange()
    #expect(honest.server.state == .wantMore)
    #expect(honest.client.session.updateKeys(requestingPeer: true, output: honest.client.output))
    honest.exchange()
    #expect(honest.server.state == .failure(.protocolViolation))
    let empty = try pair()
    for _ in 0..<32 { try empty.sendHostile(23, [], from: empty.client) }
    #expect(empty.server.state == .wantMore)
    try empty.sendHostile(23, [], from: empty.client)
    #expect(empty.server.state == .failure(.badRecord))
    #expect(empty.client.state == .failure(.peerAlert(TLSAlert.unexpectedMessage)))
  }

  @Test("what may not come after a handshake is refused with its alert")
  func forbidden() throws {
    let cases: [(UInt8, [UInt8], TLSFailure, UInt8)] = [
      (20, [1], .badRecord, TLSAlert.unexpectedMessage),  // change_cipher_spec
      (24, [1], .badRecord, TLSAlert.unexpectedMessage),  // heartbeat
      (99, [1], .badRecord, TLSAlert.unexpectedMessage),
      (22, [], .badRecord, TLSAlert.unexpectedMessage),
      (21, [], .badRecord, TLSAlert.unexpectedMessage),
      (21, [1], .protocolViolation, TLSAlert.decodeError),
      (21, [1, 0, 0], .protocolViolation, TLSAlert.decodeError),
      (22, [1, 0, 0, 0], .renegotiation, TLSAlert.unexpectedMessage),  // client_hello
      (22, [0, 0, 0, 0], .renegotiation, TLSAlert.unexpectedMessage),  // hello_request
      (22, [4, 0, 0, 0], .protocolViolation, TLSAlert.unexpectedMessage),  // a ticket for a server
      (22, [13, 0, 0, 0], .protocolViolation, TLSAlert.unexpectedMessage),  // certificate_request
      (22, [24, 0, 0, 1, 2], .protocolViolation, TLSAlert.unexpectedMessage),
      (22, [24, 0, 0, 0], .protocolViolation, TLSAlert.unexpectedMessage),
      (22, [24, 0, 0, 1, 0, 24], .protocolViolation, TLSAlert.unexpectedMessage),
      (22, [24, 0xff, 0xff, 0xff], .protocolViolation, TLSAlert.decodeError),
      (23, [UInt8](repeating: 1, count: 16_385), .badRecord, TLSAlert.recordOverflow),
    ]
    for (type, content, failure, alert) in cases {
      let pair = try pair()
      try pair.sendHostile(type, content, from: pair.client)
      #expect(pair.server.state == .failure(failure), "type \(type), \(content.prefix(8))")
      #expect(pair.client.state == .failure(.peerAlert(alert)), "type \(type), \(content.prefix(8))")
      #expect(pair.server.received.isEmpty)
    }
  }

  @Test("a handshake message in pieces is put together, and data in between is refused")
  func fragments() throws {
    let whole = try pair()
    try whole.sendHostile(22, [24, 0], from: whole.client)
    try whole.sendHostile(22, [0, 1], from: whole.client)
    #expect(whole.server.state == .wantMore)
    let torn = try pair()
    try torn.sendHostile(22, [24, 0], from: torn.client)
    try torn.sendHostile(23, [1], from: torn.client)
    #expect(torn.server.state == .failure(.protocolViolation))
    #expect(torn.server.received.isEmpty)
  }

  @Test("a broken ticket is refused by a client")
  func brokenTicket() throws {
    let pair = try pair(tickets: false)
    try pair.sendHostile(22, [4, 0, 0, 2, 1, 1], from: pair.server)
    #expect(pair.client.state == .failure(.protocolViolation))
  }

  @Test("outer headers that no record can have are refused at once")
  func headers() throws {
    for (bytes, alert) in [
      ([22, 3, 3, 0, 20], TLSAlert.unexpectedMessage), ([23, 3, 3, 0xff, 0xff], TLSAlert.recordOverflow),
      ([23, 3, 3, 0, 16], TLSAlert.badRecordMAC),
    ] as [([UInt8], UInt8)] {
      for step in [1, Int.max] {
        let pair = try pair()
        pair.server.receive(bytes, step: step, now: pair.now)
        #expect(pair.server.state == .failure(.badRecord))
        pair.exchange()
        #expect(pair.client.state == .failure(.peerAlert(alert)))
      }
    }
  }

  @Test("records that are swapped, dropped or sent again are refused")
  func order() throws {
    for change in 0..<3 {
      let pair = try pair()
      var records: [[UInt8]] = []
      for byte in [1, 2, 3] as [UInt8] {
        #expect(pair.client.session.seal([byte], 1, output: pair.client.output) == nil)
        records.append(pair.client.drain())
      }
      switch change {
      case 0: records.swapAt(0, 1)
      case 1: records.removeFirst()
      default: records.insert(records[0], at: 1)
      }
      for record in records { pair.server.receive(record, step: .max, now: pair.now) }
      #expect(pair.server.state == .failure(.badRecord))
      #expect(pair.server.received == (change == 2 ? [1] : []))
    }
  }
}
