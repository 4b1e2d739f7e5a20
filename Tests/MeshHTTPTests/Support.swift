import MeshHTTP
import MeshModel

/// A request or response parsed for a test, with its parts copied out.
struct Parsed: Equatable, CustomStringConvertible {
  var result: HTTP1ParseResult
  var method = ""
  var target = ""
  var path = ""
  var query = ""
  var authority = ""
  var status = 0
  var fields: [String] = []
  var known: [KnownHeader] = []
  var hopByHop: [String] = []
  var framing: BodyFraming = .none
  var keepAlive = false
  var onlyLooksAccepted = false
  var minor = 0
  var expectContinue = false
  var upgrade = ""
  var form: TargetForm = .origin

  var description: String { "\(result) \(method) \(path)?\(query) @\(authority) \(status) \(fields) \(framing)" }
}

/// Memory laid out as the parser wants it: received bytes, then scratch; freed with the object.
final class TestBuffer {
  static let room = 1 << 18
  let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: TestBuffer.room * 2)
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: FieldSet.capacity)
  private(set) var count = 0

  init(_ input: some Sequence<UInt8> = []) { append(input) }

  deinit {
    bytes.deallocate()
    fields.deallocate()
  }

  func append(_ input: some Sequence<UInt8>) {
    for byte in input {
      bytes[count] = byte
      count += 1
    }
  }

  func request(scanned: Int = 0, limits: HTTP1Limits = HTTP1Limits()) -> Parsed {
    var head = MessageHead(base: bytes, fields: fields)
    var info = HTTP1RequestInfo()
    let result = HTTP1Parser.parseRequestHead(
      bytes, count: count, scanned: scanned, limits: limits,
      scratch: HeadScratch(offset: Self.room, capacity: Self.room), into: &head, info: &info)
    guard case .complete = result else { return Parsed(result: result) }
    var parsed = copy(head, result, info.hopByHop)
    parsed.framing = info.framing
    parsed.keepAlive = info.keepAlive
    parsed.minor = Int(info.minorVersion)
    parsed.expectContinue = info.expectContinue
    parsed.upgrade = text(head, info.upgrade)
    parsed.form = info.targetForm
    return parsed
  }

  func response(scanned: Int = 0, to method: Method = .get, limits: HTTP1Limits = HTTP1Limits()) -> Parsed {
    var head = MessageHead(base: bytes, fields: fields)
    var info = HTTP1ResponseInfo()
    let result = HTTP1Parser.parseResponseHead(
      bytes, count: count, scanned: scanned, limits: limits, into: &head, info: &info)
    guard case .complete = result else { return Parsed(result: result) }
    var parsed = copy(head, result, info.hopByHop)
    parsed.framing = info.framing(forRequestMethod: method)
    parsed.onlyLooksAccepted = info.onlyLooksAccepted
    parsed.keepAlive = info.keepAlive
    parsed.minor = Int(info.minorVersion)
    parsed.upgrade = text(head, info.upgrade)
    return parsed
  }

  private func copy(_ head: MessageHead, _ result: HTTP1ParseResult, _ hopByHop: FieldSet) -> Parsed {
    var parsed = Parsed(result: result)
    parsed.method = text(head, head.method)
    parsed.target = text(head, head.target)
    parsed.path = text(head, head.path)
    parsed.query = text(head, head.query)
    parsed.authority = text(head, head.authority)
    parsed.status = Int(head.status)
    for index in 0..<head.fieldCount {
      let field = head.fields[index]
      parsed.fields.append(text(head, field.name) + "=" + text(head, field.value))
      parsed.known.append(field.known)
      if hopByHop.contains(index) { parsed.hopByHop.append(text(head, field.name)) }
    }
    return parsed
  }
}

func text(_ head: MessageHead, _ range: ByteRange) -> String {
  String(decoding: head.bytes(range), as: UTF8.self)
}

func request(_ input: String, limits: HTTP1Limits = HTTP1Limits()) -> Parsed {
  TestBuffer(input.utf8).request(limits: limits)
}

func response(_ input: String, to method: Method = .get) -> Parsed { TestBuffer(input.utf8).response(to: method) }

/// A small generator with a seed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
