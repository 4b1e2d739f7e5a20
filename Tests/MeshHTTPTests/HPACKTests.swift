import MeshHTTP
import MeshModel
import Testing

/// Bytes from hexadecimal text; spaces do not count.
func hex(_ text: String) -> [UInt8] {
  let digits = text.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

/// Scratch for heads, freed with the object.
final class TestScratch {
  let value: HTTP2Scratch
  private let arena: UnsafeMutablePointer<UInt8>
  private let fields: UnsafeMutablePointer<FieldRef>

  init(_ limits: HTTP2Limits = HTTP2Limits()) {
    arena = .allocate(capacity: limits.arenaBytes)
    fields = .allocate(capacity: FieldSet.capacity)
    value = HTTP2Scratch(
      arena: arena, arenaBytes: limits.arenaBytes, fields: fields, fieldCapacity: FieldSet.capacity)
  }

  deinit {
    arena.deallocate()
    fields.deallocate()
  }

  func text(_ range: ByteRange) -> String {
    String(decoding: UnsafeBufferPointer(start: arena + Int(range.offset), count: Int(range.length)), as: UTF8.self)
  }

  /// The name of the first field, and as what it is known.
  var first: (name: String, known: KnownHeader) { (text(fields[0].name), fields[0].known) }

  /// The fields of a sink, pseudo-header fields first.
  func lines(_ sink: HeadSink) -> [String] {
    let pseudo: [(String, ByteRange?)] = [
      (":status", sink.status), (":method", sink.method), (":scheme", sink.scheme), (":path", sink.path),
      (":authority", sink.authority),
    ]
    return pseudo.compactMap { name, value in value.map { "\(name): \(text($0))" } }
      + (0..<sink.fieldCount).map { "\(text(fields[$0].name)): \(text(fields[$0].value))" }
  }
}

@Suite("HPACK")
struct HPACKTests {
  /// Decodes blocks one after the other with one decoder.
  static func decode(_ blocks: [String], tableBytes: Int = 4096) -> [(lines: [String]?, size: Int)] {
    var decoder = HPACKDecoder(tableBytes: tableBytes)
    let scratch = TestScratch()
    return blocks.map { block in
      var sink = HeadSink(scratch.value, limits: HTTP2Limits())
      let bytes = hex(block)
      let good = decoder.decode(bytes, bytes.count, into: &sink)
      return (good ? scratch.lines(sink) : nil, decoder.tableSize)
    }
  }

  @Test("the examples of RFC 7541, appendix C.2: one representation each")
  func representations() {
    let literal = Self.decode(["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"])[0]
    #expect(literal.lines == ["custom-key: custom-header"])
    #expect(literal.size == 55)
    let plain = Self.decode(["040c 2f73 616d 706c 652f 7061 7468"])[0]
    #expect(plain.lines == [":path: /sample/path"])
    #expect(plain.size == 0)
    let never = Self.decode(["1008 7061 7373 776f 7264 0673 6563 7265 74"])[0]
    #expect(never.lines == ["password: secret"])
    #expect(never.size == 0)
    #expect(Self.decode(["82"])[0].lines == [":method: GET"])
  }

  static let requests: [[String]] = [
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
  ]

  @Test("the examples of appendix C.3 and C.4: requests, plain and in Huffman code", arguments: requests)
  func requestExamples(_ blocks: [String]) {
    let results = Self.decode(blocks)
    let authority = ":authority: www.example.com"
    #expect(results[0].lines == [":method: GET", ":scheme: http", ":path: /", authority])
    #expect(results[1].lines == [":method: GET", ":scheme: http", ":path: /", authority, "cache-control: no-cache"])
    #expect(
      results[2].lines == [
        ":method: GET", ":scheme: https", ":path: /index.html", authority, "custom-key: custom-value",
      ])
    #expect(results.map(\.size) == [57, 110, 164])
  }

  static let responses: [[String]] = [
    [
      """
      4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e
      1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d
      """,
      "4803 3330 37c1 c0bf",
      """
      88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d
      4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572
      7369 6f6e 3d31
      """,
    ],
    [
      """
      4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b
      97c8 e9ae 82ae 43d3
      """,
      "4883 640e ffc1 c0bf",
      """
      88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf
      cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07
      """,
    ],
  ]

  @Test("the examples of appendix C.5 and C.6: responses that push entries out of a small table", arguments: responses)
  func responseExamples(_ blocks: [String]) {
    let results = Self.decode(blocks, tableBytes: 256)
    let location = "location: https://www.example.com"
    let date = "date: Mon, 21 Oct 2013 20:13:2"
    #expect(results[0].lines == [":status: 302", "cache-control: private", "\(date)1 GMT", location])
    #expect(results[1].lines == [":status: 307", "cache-control: private", "\(date)1 GMT", location])
    #expect(
      results[2].lines == [
        ":status: 200", "cache-control: private", "\(date)2 GMT", location, "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      ])
    #expect(results.map(\.size) == [222, 222, 215])
  }

  @Test(
    "broken blocks are refused",
    arguments: [
      "80", "be", "ff00", "ffffffffffff0f", "40", "4001", "400161", "40016105", "3fe21f", "823e", "00 0a61",
      "0081ff", "0083ffffff", "00 84 ffffffff", "0081fe", "00 82 f8ff", "7f ffffffffff01",
    ])
  func broken(_ block: String) {
    #expect(Self.decode([block])[0].lines == nil)
  }

  @Test("names out of the static table are known as the same names in a head of HTTP/1 are", arguments: 15...61)
  func staticNames(_ index: UInt8) {
    var decoder = HPACKDecoder(tableBytes: 4096)
    let scratch = TestScratch()
    var sink = HeadSink(scratch.value, limits: HTTP2Limits())
    let block: [UInt8] = [0x0F, index - 15, 1, 0x37]
    #expect(decoder.decode(block, block.count, into: &sink))
    #expect(sink.fieldCount == 1)
    let (name, known) = scratch.first
    #expect(known == KnownHeader.lookup(Array(name.utf8), name.utf8.count), "\(name)")
  }

  @Test("a size update stands at the beginning only, and never over the setting")
  func sizeUpdates() {
    #expect(Self.decode(["203fe11f82"])[0].lines == [":method: GET"])
    #expect(Self.decode(["8220"])[0].lines == nil)
    let emptied = Self.decode(["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "20", "be"])
    #expect(emptied[1].size == 0)
    #expect(emptied[2].lines == nil)
  }

  @Test("every octet survives the Huffman code, and bad padding does not")
  func huffman() {
    var generator = SeededGenerator(seed: 7)
    for length in 0..<300 {
      let text = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let size = Huffman.encodedLength(text, text.count)
      var encoded = [UInt8](repeating: 0, count: size + 1)
      Huffman.encode(text, text.count, into: &encoded)
      #expect(encoded[size] == 0)
      var decoded = [UInt8](repeating: 0, count: length)
      #expect(Huffman.decode(encoded, size, into: &decoded, capacity: length) == length)
      #expect(decoded == text)
      if length > 0 { #expect(Huffman.decode(encoded, size, into: &decoded, capacity: length - 1) == nil) }
    }
    var out = [UInt8](repeating: 0, count: 8)
    for bad: [UInt8] in [[0xFF], [0x00], [0xFE], [0x1F, 0xFF], [0xFF, 0xFF, 0xFF, 0xFF], [0x1E]] {
      #expect(Huffman.decode(bad, bad.count, into: &out, capacity: 8) == nil)
    }
  }

  @Test("random bytes never crash the decoder, whose table stays within its size")
  func random() {
    var generator = SeededGenerator(seed: 11)
    let scratch = TestScratch()
    for _ in 0..<300 {
      var decoder = HPACKDecoder(tableBytes: 256)
      for _ in 0..<20 {
        let block = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        var sink = HeadSink(scratch.value, limits: HTTP2Limits())
        if !decoder.decode(block, block.count, into: &sink) { break }
        #expect(decoder.tableSize <= 256)
      }
    }
  }
}
