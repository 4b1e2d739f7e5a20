import MeshWire
import Testing

@Suite struct ProtobufWriterTests {
  /// Lengths around the ends of a varint's bytes, inside each other, read again by the decoder of our own messages.
  @Test func messagesInMessagesHaveTheirLengths() throws {
    for count in [0, 1, 100, 126, 127, 128, 129, 16_383, 16_384, 20_000] {
      let name = String(repeating: "x", count: count)
      var writer = ProtobufWriter()
      writer.message(3) { service in
        service.string(1, "shop")
        service.string(2, name)
        service.message(3) { port in
          port.integer(1, 80)
          port.string(2, name)
        }
        service.message(3) { _ in }
      }
      writer.message(1) { $0.string(1, "uid") }
      let snapshot = try Snapshot(protobuf: writer.bytes)
      let service = try #require(snapshot.services.first)
      #expect(service.namespace == "shop" && service.name == name && service.ports.count == 2)
      #expect(service.ports[0].number == 80 && service.ports[0].name == name && service.ports[1].number == 0)
      #expect(snapshot.node?.uid == "uid")
    }
  }

  @Test func numbersAreWrittenAsTheirTypesWantIt() {
    var writer = ProtobufWriter()
    writer.integer(1, 0)
    writer.fixed64(2, 0)
    writer.string(3, "")
    #expect(writer.isEmpty)
    writer.choice(1, integer: 0)
    writer.integer(2, -1)
    writer.fixed64(3, 0x0102)
    writer.fixed32(4, 0x0102)
    writer.choice(5, double: 1)
    writer.double(6, packed: [1])
    #expect(
      writer.bytes == [8, 0, 16] + [UInt8](repeating: 255, count: 9) + [1] + [25, 2, 1, 0, 0, 0, 0, 0, 0]
        + [37, 2, 1, 0, 0] + [41, 0, 0, 0, 0, 0, 0, 240, 63] + [50, 8, 0, 0, 0, 0, 0, 0, 240, 63])
  }
}
