import MeshHTTP
import MeshModel
import Testing

/// A ClientHello put together piece by piece, as a client would send it.
struct HelloBytes {
  var session: [UInt8] = [UInt8](repeating: 7, count: 32)
  var suites: [UInt8] = [0x13, 0x01, 0x13, 0x02]
  var extensions: [(type: Int, body: [UInt8])] = []

  static func sized(_ body: [UInt8], _ width: Int) -> [UInt8] {
    (0..<width).reversed().map { UInt8(truncatingIfNeeded: body.count >> ($0 * 8)) } + body
  }

  static func name(_ text: String, type: UInt8 = 0) -> [UInt8] { [type] + sized(Array(text.utf8), 2) }

  mutating func add(serverName: String) { extensions.append((0, Self.sized(Self.name(serverName), 2))) }

  mutating func add(protocols: [String]) {
    extensions.append((16, Self.sized(protocols.flatMap { Self.sized(Array($0.utf8), 1) }, 2)))
  }

  mutating func add(versions: [UInt16]) {
    extensions.append((43, Self.sized(versions.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }, 1)))
  }

  var message: [UInt8] {
    var body: [UInt8] = [3, 3] + [UInt8](repeating: 9, count: 32) + Self.sized(session, 1)
    body += Self.sized(suites, 2) + [1, 0]
    if !extensions.isEmpty {
      body += Self.sized(
        extensions.flatMap { [UInt8($0.type >> 8), UInt8($0.type & 255)] + Self.sized($0.body, 2) }, 2)
    }
    return [1] + Self.sized(body, 3)
  }

  /// In records of at most `size` bytes.
  func records(of size: Int = 16_384) -> [UInt8] {
    var out: [UInt8] = []
    var rest = message[...]
    while !rest.isEmpty {
      out += [22, 3, 1] + Self.sized(Array(rest.prefix(size)), 2)
      rest = rest.dropFirst(size)
    }
    return out
  }
}

/// A result with its texts copied out.
enum ReadHello: Equatable {
  case needMore
  case hello(name: String, protocols: [String], is13: Bool)
  case failure(ClientHelloFailure)

  init(_ bytes: [UInt8], capacity: Int = ClientHelloParser.maxMessageBytes) {
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, capacity))
    defer { scratch.deallocate() }
    // In memory of exactly their length, so that tools see a read behind the end.
    let input = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    defer { input.deallocate() }
    input.initialize(from: bytes, count: bytes.count)
    switch ClientHelloParser.parse(input, count: bytes.count, scratch: scratch, capacity: capacity) {
    case .needMore: self = .needMore
    case .failure(let failure): self = .failure(failure)
    case .complete(let hello):
      var names: [String] = []
      var list = hello.protocols()
      while let name = list.next() { names.append(String(decoding: hello.bytes(name), as: UTF8.self)) }
      self = .hello(
        name: String(decoding: hello.bytes(hello.serverName), as: UTF8.self), protocols: names,
        is13: hello.offersTLS13)
    }
  }
}

@Suite struct ClientHelloTests {
  private static func browser() -> HelloBytes {
    var hello = HelloBytes()
    hello.extensions.append((0x0A0A, []))
    hello.add(serverName: "shop.example.org")
    hello.extensions.append((10, HelloBytes.sized([0, 29, 0, 23], 2)))
    hello.add(protocols: ["h2", "http/1.1"])
    hello.add(versions: [0x1A1A, 0x0304, 0x0303])
    return hello
  }

  private let expected = ReadHello.hello(name: "shop.example.org", protocols: ["h2", "http/1.1"], is13: true)

  @Test func nameProtocolsAndVersionAreRead() {
    #expect(ReadHello(Self.browser().records()) == expected)
  }

  @Test func whatFollowsTheMessageDoesNotMatter() {
    #expect(ReadHello(Self.browser().records() + [20, 3, 3, 0, 1, 1] + Array("anything".utf8)) == expected)
  }

  @Test func aProtocolIsFoundByName() {
    let bytes = Self.browser().records()
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
    defer { scratch.deallocate() }
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress,
        case .complete(let hello) = ClientHelloParser.parse(base, count: buffer.count, scratch: scratch, capacity: 4096)
      else {
        Issue.record("the message is complete")
        return
      }
      #expect(hello.offers("h2") && hello.offers("http/1.1"))
      #expect(!hello.offers("h3") && !hello.offers("h") && !hello.offers("http/1.10"))
    }
  }

  @Test(arguments: [1, 2, 3, 5, 64, 16_384]) func everyCutOfTheBytesGivesTheSame(recordSize: Int) {
    let bytes = Self.browser().records(of: recordSize)
    for count in 0..<bytes.count {
      #expect(ReadHello(Array(bytes.prefix(count))) == .needMore, "\(count) of \(bytes.count) bytes")
    }
    #expect(ReadHello(bytes) == expected)
  }

  @Test func whatIsLeftOutIsEmpty() {
    #expect(ReadHello(HelloBytes().records()) == .hello(name: "", protocols: [], is13: false))
    var old = HelloBytes()
    old.add(versions: [0x0303, 0x0302])
    old.add(serverName: "a")
    #expect(ReadHello(old.records()) == .hello(name: "a", protocols: [], is13: false))
  }

  @Test(arguments: [
    (Array("GET / HTTP/1.1\r\n".utf8), ClientHelloFailure.notTLS), ([0x16, 0x02, 0, 0, 1, 1], .badRecord),
    ([0x16, 3, 9, 0, 1, 1], .badRecord), ([0x16, 3, 1, 0, 0], .badRecord), ([0x16, 3, 1, 0xFF, 0xFF, 1], .badRecord),
    ([0x16, 3, 1, 0, 4, 2, 0, 0, 0], .notClientHello), ([0x16, 3, 1, 0x3F, 0xFF, 1, 0xFF, 0xFF, 0xFF], .tooLong),
    ([0x16, 3, 1, 0, 4, 1, 0, 0, 0], .malformed), ([0x16, 3, 1, 0, 1, 1, 0x15, 3, 1, 0, 2, 1, 0], .badRecord),
  ])
  func bytesThatAreNoClientHelloAreTold(bytes: [UInt8], failure: ClientHelloFailure) {
    #expect(ReadHello(bytes) == .failure(failure))
  }

  @Test func namesAndListsThatAreWrongAreRefused() {
    func failure(_ change: (inout HelloBytes) -> Void) -> ReadHello {
      var hello = HelloBytes()
      change(&hello)
      return ReadHello(hello.records())
    }
    #expect(failure { $0.add(serverName: "") } == .failure(.badServerName))
    #expect(failure { $0.add(serverName: String(repeating: "a", count: 254)) } == .failure(.badServerName))
    #expect(failure { $0.add(serverName: "a b") } == .failure(.badServerName))
    #expect(failure { $0.add(serverName: "a\u{0}b") } == .failure(.badServerName))
    #expect(failure { $0.add(serverName: "::1") } == .failure(.badServerName))
    let two = HelloBytes.name("a") + HelloBytes.name("b")
    #expect(failure { $0.extensions.append((0, HelloBytes.sized(two, 2))) } == .failure(.malformed))
    #expect(
      failure {
        $0.add(serverName: "a")
        $0.add(serverName: "b")
      } == .failure(.malformed))
    #expect(failure { $0.add(protocols: []) } == .failure(.malformed))
    #expect(failure { $0.add(protocols: ["h2", ""]) } == .failure(.malformed))
    #expect(failure { $0.extensions.append((16, [0, 3, 9, 1, 1])) } == .failure(.malformed))
    #expect(failure { $0.extensions.append((43, [2, 3])) } == .failure(.malformed))
    #expect(failure { $0.session = [UInt8](repeating: 0, count: 33) } == .failure(.malformed))
    #expect(failure { $0.suites = [0x13] } == .failure(.malformed))
  }

  @Test func everyLengthThatIsChangedIsReadOrRefusedAndNeverBehindTheEnd() {
    let whole = Self.browser().records()
    for index in 5..<whole.count {
      for value: UInt8 in [0, 1, 0x7F, 0xFF] {
        var bytes = whole
        bytes[index] = value
        // The record still holds as many bytes, so that an answer is due unless the message now claims more.
        if case .needMore = ReadHello(bytes), index > 8 { Issue.record("byte \(index) as \(value)") }
      }
    }
  }

  @Test func aMessageInRecordsMustFitTheScratch() {
    let bytes = Self.browser().records(of: 16)
    #expect(ReadHello(bytes, capacity: 64) == .failure(.tooLong))
    #expect(ReadHello(bytes, capacity: 3) == .failure(.tooLong))
  }
}
