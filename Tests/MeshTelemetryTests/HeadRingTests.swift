import MeshTelemetry
import Testing

@Suite struct HeadRingTests {
  private func keep(_ ring: HeadRing, _ sequence: UInt64, _ text: String) {
    var text = text
    text.withUTF8 { ring.keep(sequence, request: $0, response: UnsafeBufferPointer(rebasing: $0.prefix(4))) }
  }

  @Test func headsAreFoundByTheirDecisionAndTheOldestGo() {
    let ring = HeadRing()
    #expect(ring.heads(of: 0) == nil && ring.heads(of: 1) == nil)
    for number in 1...UInt64(HeadRing.capacity + 2) { keep(ring, number, "head \(number)") }
    #expect(ring.heads(of: 1) == nil && ring.heads(of: 2) == nil)
    #expect(ring.heads(of: 3)?.request == Array("head 3".utf8) && ring.heads(of: 3)?.response == Array("head".utf8))
    keep(ring, 1_000, String(repeating: "x", count: 10_000))
    #expect(
      ring.heads(of: 1_000)?.request.count == HeadRing.headBytes
        && ring.heads(of: 1_000)?.response == Array("xxxx".utf8))
    keep(ring, 1_001, "")
    #expect(ring.heads(of: 1_001) == HeadRing.Heads())
  }

  @Test func secretsAreNotShown() {
    let head =
      "GET /a?token=1 HTTP/1.1\r\nhost: shop\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX-Tenant:  red\r\nx-mine: y\r\n"
      + "no field\r\n: empty\r\ncut"
    let fields = ShownHead.fields(of: Array(head.utf8), redacting: ["x-mine"])
    #expect(fields.map(\.name) == ["host", "authorization", "cookie", "x-tenant", "x-mine"])
    #expect(fields.map(\.value) == ["shop", "[redacted]", "[redacted]", "red", "[redacted]"])
    #expect(ShownHead.fields(of: [], redacting: []).isEmpty)
  }
}
