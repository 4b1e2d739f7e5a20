import MeshHTTP
import MeshModel
import Testing

/// Two ends of a connection, driven from a seed: calls in any order, bodies both ways, interim heads, large heads,
/// trailers, resets by either side, tiny windows, output taken in bits, bytes cut anywhere, and a drain at the end. What
/// one side sends is what the other must see; who was told to wait sends only when told that he can.
struct HTTP2Simulation {
  /// One side of a call: what it still has to send, and what it has seen.
  struct Side {
    var body: [UInt8] = []
    var sent = 0
    /// This side has ended.
    var ended = false
    var trailers = false
    var received: [UInt8] = []
    /// Not everything was taken; it goes on when the stream is reported as writable.
    var waits = false
    /// The other side has ended.
    var over = false
    var wasReset = false
    var isDone: Bool { wasReset || (ended && over) }
    /// Received and not yet consumed.
    var held = 0
  }

  let client: Endpoint
  let server: Endpoint
  var generator: SeededGenerator
  var calls: [UInt32: (client: Side, server: Side)] = [:]
  var toServer: [UInt8] = []
  var toClient: [UInt8] = []
  var started = 0
  var problems: [String] = []
  let largestBody: Int

  init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
    var limits = HTTP2Limits()
    limits.streamWindowBytes = [1, 7, 100, 65_535, 200_000][Int.random(in: 0..<5, using: &generator)]
    largestBody = Int(min(limits.streamWindowBytes, 15)) * 200
    limits.maxConcurrentStreams = UInt32.random(in: 1...8, using: &generator)
    limits.headerTableBytes = [0, 100, 4096, 8192][Int.random(in: 0..<4, using: &generator)]
    limits.maxOutputBytes = [100, 5000, 65_536][Int.random(in: 0..<3, using: &generator)]
    // Windows of a byte cost a WINDOW_UPDATE each, as they should.
    limits.maxWindowUpdatesPerFrame = 1000
    client = Endpoint(.client, limits, huffman: Bool.random(using: &generator))
    server = Endpoint(.server, limits, huffman: Bool.random(using: &generator))
    client.consumes = false
    server.consumes = false
  }

  mutating func body() -> [UInt8] {
    let most = [0, 10, largestBody / 5, largestBody][Int.random(in: 0..<4, using: &generator)]
    let size = Int.random(in: 0...most, using: &generator)
    return (0..<size).map { _ in UInt8.random(in: 97...122, using: &generator) }
  }

  mutating func run() {
    for _ in 0..<400 { step(mayStart: true) }
    for _ in 0..<20_000 {
      step(mayStart: false)
      if isQuiet, calls.values.allSatisfy({ $0.client.isDone && $0.server.isDone }) { break }
    }
    for (id, call) in calls {
      if !call.client.isDone || !call.server.isDone { problems.append("call \(id) never ends") }
      if call.client.wasReset || call.server.wasReset { continue }
      if call.server.received != call.client.body { problems.append("request body of \(id)") }
      if call.client.received != call.server.body { problems.append("response body of \(id)") }
    }
    if client.isFailed || server.isFailed { problems.append("the connection failed") }
    if client.openStreams != 0 || server.openStreams != 0 { problems.append("streams are left over") }
    server.connection.drain()
    for _ in 0..<1000 where !isQuiet { carry() }
    if !server.isDrained || client.connection.canOpenStream { problems.append("the drain does not end") }
  }

  /// Whether nothing is on its way.
  var isQuiet: Bool { toServer.isEmpty && toClient.isEmpty && !client.hasOutput && !server.hasOutput }

  mutating func step(mayStart: Bool) {
    switch Int.random(in: 0..<9, using: &generator) {
    case 0 where mayStart: start()
    case 1 where mayStart && Int.random(in: 0..<10, using: &generator) == 0: cancel()
    case 2 where Int.random(in: 0..<10, using: &generator) == 0: rest()
    case 2, 3: consume()
    case 4, 5: send()
    default: carry()
    }
  }

  mutating func start() {
    var side = Side()
    side.body = body()
    let plain = side.body.isEmpty && Bool.random(using: &generator)
    let large = Int.random(in: 0..<20, using: &generator) == 0
    let agent = String(repeating: "simulation", count: large ? 4000 : 1)
    let fields = [("x-call", "\(started)"), ("user-agent", agent), ("content-type", "text/plain")]
    guard let stream = client.request("POST", "/call/\(started % 3)", fields: fields, end: plain) else { return }
    started += 1
    side.ended = plain
    side.trailers = Bool.random(using: &generator)
    calls[stream.id] = (side, Side())
  }

  mutating func cancel() {
    guard let id = calls.keys.sorted().randomElement(using: &generator), let call = calls[id], !call.client.isDone,
      let stream = client.streams[id]
    else { return }
    if let other = server.streams[id], !call.server.isDone, Bool.random(using: &generator) {
      server.connection.consumed(other, call.server.held)
      server.connection.reset(other, .internalError)
      calls[id]?.server.held = 0
    } else {
      client.connection.consumed(stream, call.client.held)
      client.connection.reset(stream, .cancel)
      calls[id]?.client.held = 0
    }
    calls[id]?.client.wasReset = true
    calls[id]?.server.wasReset = true
  }

  /// What an owner does now and then.
  mutating func rest() {
    client.connection.calm()
    server.connection.calm()
    client.connection.ping(UInt64(started))
  }

  mutating func send() {
    for id in calls.keys.sorted().shuffled(using: &generator) {
      guard var call = calls[id] else { continue }
      advance(client, id, &call.client)
      if server.streams[id] != nil { advance(server, id, &call.server) }
      calls[id] = call
    }
  }

  /// Sends some of what a side has left.
  private mutating func advance(_ end: Endpoint, _ id: UInt32, _ side: inout Side) {
    guard !side.ended, !side.wasReset, !side.waits, let stream = end.streams[id] else { return }
    let left = side.body.count - side.sent
    let piece = min(left, Int.random(in: 0...1000, using: &generator))
    if left > 0 {
      guard let taken = end.send(stream, Array(side.body[side.sent..<(side.sent + piece)]), end: false) else { return }
      side.sent += taken
      side.waits = taken < piece
    } else if side.trailers {
      end.trailers(stream, [("x-sum", "\(side.body.count)")])
      side.ended = true
    } else {
      side.ended = end.send(stream, [], end: true) != nil
    }
  }

  mutating func consume() {
    for id in calls.keys.sorted() {
      guard var call = calls[id] else { continue }
      for (end, path) in [(client, \(client: Side, server: Side).client), (server, \.server)] {
        guard call[keyPath: path].held > 0, let stream = end.streams[id] else { continue }
        let count = Int.random(in: 1...call[keyPath: path].held, using: &generator)
        call[keyPath: path].held -= count
        end.connection.consumed(stream, count)
      }
      calls[id] = call
    }
  }

  mutating func carry() {
    toServer += client.output(atMost: Int.random(in: 0...3000, using: &generator))
    toClient += server.output(atMost: Int.random(in: 0...3000, using: &generator))
    let up = Int.random(in: 0...toServer.count, using: &generator)
    for seen in server.feed(Array(toServer.prefix(up))) { atServer(seen) }
    toServer.removeFirst(up)
    let down = Int.random(in: 0...toClient.count, using: &generator)
    for seen in client.feed(Array(toClient.prefix(down))) { atClient(seen) }
    toClient.removeFirst(down)
  }

  mutating func atServer(_ seen: Seen) {
    switch seen {
    case .head(let id, .request, let lines, let end):
      if lines.count != 4 || !lines[1].hasPrefix("x-call: ") { problems.append("head \(lines)") }
      guard let stream = server.streams[id] else { return problems.append("no stream \(id)") }
      let answer = body()
      calls[id]?.server.body = answer
      let trailers = Bool.random(using: &generator)
      calls[id]?.server.trailers = trailers
      if trailers { server.respond(stream, 103) }
      server.respond(stream, 200, fields: [("server", "simulation")])
      if end { note(id, \.server, ended: true) }
    case .head(let id, .trailers, _, _): note(id, \.server, ended: true)
    case .data(let id, let text, let end):
      calls[id]?.server.received += Array(text.utf8)
      calls[id]?.server.held += text.utf8.count
      if end { note(id, \.server, ended: true) }
    case .reset(let id, let reset):
      if reset != HTTP2Reset(code: .cancel, origin: .peer) { problems.append("reset of \(id): \(reset)") }
      calls[id]?.server.wasReset = true
    case .writable(let id): calls[id]?.server.waits = false
    case .failed(let reason): problems.append("server failed: \(reason)")
    // Before it has the server's SETTINGS, the client cannot know how many streams are allowed.
    case .refused(let reason): if reason != .tooManyStreams { problems.append("server refused: \(reason)") }
    default: break
    }
  }

  mutating func atClient(_ seen: Seen) {
    switch seen {
    case .head(let id, .trailers, _, _): note(id, \.client, ended: true)
    case .data(let id, let text, let end):
      if calls[id]?.client.over == true { problems.append("data after the end of \(id)") }
      calls[id]?.client.received += Array(text.utf8)
      calls[id]?.client.held += text.utf8.count
      if end { note(id, \.client, ended: true) }
    case .reset(let id, let reset):
      if !reset.isUnprocessed, reset != HTTP2Reset(code: .internalError, origin: .peer) {
        problems.append("reset of \(id): \(reset)")
      }
      calls[id]?.client.wasReset = true
      calls[id]?.server.wasReset = true
    case .writable(let id): calls[id]?.client.waits = false
    case .failed(let reason): problems.append("client failed: \(reason)")
    default: break
    }
  }

  /// The peer has ended; a side is over when it has ended as well.
  private mutating func note(_ id: UInt32, _ path: WritableKeyPath<(client: Side, server: Side), Side>, ended: Bool) {
    calls[id]?[keyPath: path].over = ended
  }
}

@Suite("HTTP/2 in virtual time")
struct HTTP2PropertyTests {
  /// 10,000 seeds.
  @Test("whatever the windows, cuts and resets, every call ends with the bytes that were sent", arguments: 0..<100)
  func simulation(_ hundred: UInt64) {
    for seed in hundred * 100..<hundred * 100 + 100 {
      var simulation = HTTP2Simulation(seed: seed)
      simulation.run()
      #expect(simulation.problems == [], "seed \(seed)")
      #expect(simulation.started > 0, "seed \(seed)")
    }
  }

  @Test("any split of the input gives the same events as the whole", arguments: 0..<20)
  func splits(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let rows = HTTP2HostileTests.fatal
    let bytes =
      Frame.headers(1, Frame.post, end: false) + Frame.data(1, "hello") + Frame.make(0, 8, 1, [3, 65, 0, 0, 0])
      + Frame.headers(3, Frame.get, flags: 0) + Frame.make(9, 4, 3) + Frame.ping() + Frame.reset(3)
      + rows[Int.random(in: 0..<rows.count, using: &generator)].bytes
    let whole = Self.joined(Frame.server().feed(bytes))
    let one = Frame.server()
    #expect(Self.joined(bytes.flatMap { one.feed([$0]) }) == whole)
    for _ in 0..<5 {
      let server = Frame.server()
      var seen: [Seen] = []
      var start = 0
      while start < bytes.count {
        let end = min(bytes.count, start + Int.random(in: 1...200, using: &generator))
        seen += server.feed(Array(bytes[start..<end]))
        start = end
      }
      #expect(Self.joined(seen) == whole)
    }
  }

  /// Joins runs of data, which are reported as they come.
  static func joined(_ seen: [Seen]) -> [Seen] {
    var result: [Seen] = []
    for event in seen {
      if case .data(let id, let text, let end) = event, case .data(id, let before, false)? = result.last {
        result[result.count - 1] = .data(id, before + text, end: end)
      } else {
        result.append(event)
      }
    }
    return result
  }

  @Test("random frames never crash either end", arguments: 0..<30)
  func random(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<20 {
      let server = Frame.server()
      let client = Endpoint(.client)
      client.feed(Frame.settings())
      for _ in 0..<3 { _ = client.request() }
      for _ in 0..<60 {
        let length = Int.random(in: 0...40, using: &generator)
        let payload = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let type = UInt8.random(in: 0...10, using: &generator)
        let flags = UInt8.random(in: 0...63, using: &generator)
        let frame = Frame.make(type, flags, UInt32.random(in: 0...9, using: &generator), payload)
        server.feed(frame)
        client.feed(frame)
        if server.isFailed, client.isFailed { break }
      }
    }
  }
}
