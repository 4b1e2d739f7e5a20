import MeshHTTP
import MeshModel
import Testing

@Suite("HTTP/2: windows that grow")
struct HTTP2WindowTests {
  static let limits: HTTP2Limits = {
    var limits = HTTP2Limits()
    limits.streamWindowBytes = 64 * 1024
    limits.streamWindowLimitBytes = 256 * 1024
    limits.windowGrowthBytes = 320 * 1024
    limits.connectionWindowBytes = 1024 * 1024
    return limits
  }()

  /// A client that reads bodies, and the server that sends them over a long way: it has sent all that the window lets
  /// through before the answer to anything reaches it.
  final class Transfer {
    let client: Endpoint
    let server = Endpoint(.server)

    init(
      _ limits: HTTP2Limits = HTTP2WindowTests.limits, growth: UnsafeMutablePointer<HTTP2Growth>? = nil
    ) {
      client = Endpoint(.client, limits, growth: growth)
      exchange(client, server)
    }

    func open() -> HTTP2Stream? {
      guard let request = client.request() else { return nil }
      exchange(client, server)
      guard let stream = server.streams[request.id] else { return nil }
      server.respond(stream, 200)
      exchange(client, server)
      return stream
    }

    /// Sends for so many round trips; returns the most that the window let through at once.
    func send(_ stream: HTTP2Stream, roundTrips: Int) -> Int {
      var most = 0
      for _ in 0..<roundTrips {
        var sent = 0
        var arrived: [UInt8] = []
        while server.window(stream) > 0 {
          sent += server.send(stream, [UInt8](repeating: 7, count: 16_384), end: false) ?? 0
          arrived += server.output()
        }
        most = max(most, sent)
        client.feed(arrived)
        let answers = client.output()
        server.feed(answers)
      }
      return most
    }
  }

  @Test("a quick reader far away gets a larger window, up to the limit")
  func grows() throws {
    let transfer = Transfer()
    let stream = try #require(transfer.open())
    // What is measured is the round trip after the one in which the question went out.
    let most = transfer.send(stream, roundTrips: 60)
    #expect(most > 128 * 1024)
    #expect(most <= 256 * 1024)
    #expect(!transfer.client.isFailed && !transfer.server.isFailed)
  }

  @Test("over 1 MiB a window is earned: an eighth of what the stream has carried")
  func earned() throws {
    var limits = HTTP2Limits.tunnel
    limits.maxConcurrentStreams = 10
    let transfer = Transfer(limits)
    let stream = try #require(transfer.open())
    var carried = 0
    var most = 0
    while carried < 64 << 20 {
      let window = transfer.send(stream, roundTrips: 1)
      #expect(window <= max(1 << 20, carried / 8), "after \(carried) bytes")
      carried += window
      most = max(most, window)
    }
    #expect(most == 4 << 20)
    #expect(!transfer.client.isFailed && !transfer.server.isFailed)
  }

  @Test("all streams together grow by a bounded sum, and what ended streams had is there for others")
  func sum() throws {
    let transfer = Transfer()
    let first = try #require(transfer.open())
    let second = try #require(transfer.open())
    let third = try #require(transfer.open())
    let one = transfer.send(first, roundTrips: 60)
    let two = transfer.send(second, roundTrips: 60)
    let three = transfer.send(third, roundTrips: 60)
    #expect(one + two + three <= 3 * 64 * 1024 + 320 * 1024)
    #expect(three <= 64 * 1024)
    _ = transfer.server.send(first, [], end: true)
    exchange(transfer.client, transfer.server)
    #expect(transfer.send(third, roundTrips: 60) > 128 * 1024)
    #expect(!transfer.client.isFailed && !transfer.server.isFailed)
  }

  @Test("the connection's window is what it was when the grown streams have ended")
  func connection() throws {
    let transfer = Transfer()
    for _ in 0..<5 {
      let stream = try #require(transfer.open())
      _ = transfer.send(stream, roundTrips: 60)
      _ = transfer.server.send(stream, [], end: true)
      exchange(transfer.client, transfer.server)
    }
    // What had been granted is not taken back, but not granted again.
    let last = try #require(transfer.open())
    for _ in 0..<30 {
      _ = transfer.server.send(last, [UInt8](repeating: 7, count: 16_384), end: false)
      exchange(transfer.client, transfer.server)
    }
    // A reader that stops: streams of 64 KiB each, whose sum the connection's window bounds.
    transfer.client.consumes = false
    var total = 0
    for _ in 0..<40 {
      let stream = try #require(transfer.open())
      while transfer.server.window(stream) > 0 {
        total += transfer.server.send(stream, [UInt8](repeating: 7, count: 16_384), end: false) ?? 0
        exchange(transfer.client, transfer.server)
      }
    }
    #expect(total <= 1024 * 1024)
    #expect(total >= 512 * 1024)
    #expect(!transfer.client.isFailed)
  }

  @Test("a reader that holds back gets no more")
  func slow() throws {
    let transfer = Transfer()
    let stream = try #require(transfer.open())
    transfer.client.consumes = false
    var most = 0
    for _ in 0..<60 {
      most = max(most, transfer.send(stream, roundTrips: 1))
      // Something is always left unread.
      if let read = transfer.client.streams[stream.id] { transfer.client.connection.consumed(read, 32 * 1024) }
      transfer.server.feed(transfer.client.output())
      transfer.client.feed(transfer.server.output())
    }
    #expect(most <= 64 * 1024)
  }

  @Test("without a limit above what they begin with windows stay as they are, and nothing is measured")
  func off() throws {
    let transfer = Transfer(HTTP2Limits())
    let stream = try #require(transfer.open())
    #expect(transfer.send(stream, roundTrips: 20) <= 64 * 1024)
  }

  /// How much of a stream's window is open after its reader has taken everything.
  private func open(_ transfer: Transfer, _ stream: HTTP2Stream) -> Int {
    exchange(transfer.client, transfer.server)
    return transfer.server.window(stream)
  }

  @Test("a window shrinks where its reader falls behind by more than it began with, and grows again for a quick one")
  func shrinks() throws {
    let transfer = Transfer()
    let stream = try #require(transfer.open())
    let read = try #require(transfer.client.streams[stream.id])
    _ = transfer.send(stream, roundTrips: 60)
    #expect(open(transfer, stream) > 128 * 1024)
    // The reader stops, takes what has come in small parts, stops again.
    for _ in 0..<4 {
      transfer.client.consumes = false
      let held = transfer.send(stream, roundTrips: 1)
      for _ in 0..<(held / 4096) { transfer.client.connection.consumed(read, 4096) }
    }
    #expect(open(transfer, stream) <= 64 * 1024)
    #expect(open(transfer, stream) >= 32 * 1024)
    transfer.client.consumes = true
    _ = transfer.send(stream, roundTrips: 300)
    #expect(open(transfer, stream) > 128 * 1024)
    #expect(!transfer.client.isFailed && !transfer.server.isFailed)
  }

  @Test("what a shrunken window gives up is given up of the connection's as well, once")
  func connectionShrinks() throws {
    let transfer = Transfer()
    for _ in 0..<3 {
      let stream = try #require(transfer.open())
      let read = try #require(transfer.client.streams[stream.id])
      transfer.client.consumes = true
      _ = transfer.send(stream, roundTrips: 60)
      transfer.client.consumes = false
      for _ in 0..<4 {
        let held = transfer.send(stream, roundTrips: 1)
        for _ in 0..<(held / 4096) { transfer.client.connection.consumed(read, 4096) }
      }
      _ = transfer.server.send(stream, [], end: true)
      exchange(transfer.client, transfer.server)
    }
    // Readers that stop: as much as the connection's window lets through, no more and not much less.
    var total = 0
    for _ in 0..<40 {
      let stream = try #require(transfer.open())
      while transfer.server.window(stream) > 0 {
        total += transfer.server.send(stream, [UInt8](repeating: 7, count: 16_384), end: false) ?? 0
        exchange(transfer.client, transfer.server)
      }
    }
    #expect(total <= (1024 + 320) * 1024)
    #expect(total >= 512 * 1024)
    #expect(!transfer.client.isFailed)
  }

  @Test("all connections of a loop grow by a bounded sum, and give it back when they end")
  func loop() throws {
    let account = UnsafeMutablePointer<HTTP2Growth>.allocate(capacity: 1)
    account.initialize(to: HTTP2Growth(limitBytes: 256 * 1024))
    defer { account.deallocate() }
    let transfers = (0..<3).map { _ in Transfer(growth: account) }
    let streams = try transfers.map { try #require($0.open()) }
    for (transfer, stream) in zip(transfers, streams) { _ = transfer.send(stream, roundTrips: 60) }
    #expect(account.pointee.bytes == 256 * 1024)
    let windows = zip(transfers, streams).map { open($0, $1) }
    #expect(windows.filter { $0 > 64 * 1024 }.count == 2)
    #expect(windows[2] <= 64 * 1024)
    transfers[0].client.connection.giveBackGrowth()
    transfers[1].client.connection.giveBackGrowth()
    #expect(account.pointee.bytes == 0)
    _ = transfers[2].send(streams[2], roundTrips: 60)
    #expect(open(transfers[2], streams[2]) > 64 * 1024)
  }
}
