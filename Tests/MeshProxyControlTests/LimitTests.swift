import Foundation
import MeshHTTP
import MeshProxy
import Testing

@Suite struct LimitTests {
  private func refused(_ text: String) -> String? {
    var limits = ProxyLimits()
    do throws(UsageError) {
      try limits.set(text)
      return nil
    } catch {
      return error.message
    }
  }

  @Test func aLimitIsSetWithinItsBounds() throws {
    var limits = ProxyLimits()
    try limits.set("streams=7")
    try limits.set("mesh-stream-window=1048576")
    try limits.set("mesh-stream-window-limit=8388608")
    try limits.set("mesh-window-growth=0")
    try limits.set("head-fields=8")
    try limits.set("stream-idle-seconds=7")
    try limits.set("head-seconds=3")
    try limits.set("connection-idle-seconds=60")
    try limits.set("body-seconds=4")
    try limits.set("handshake-seconds=5")
    try limits.set("ping-seconds=20")
    try limits.set("ping-answer-seconds=6")
    #expect(limits.edge.maxConcurrentStreams == 7 && limits.mesh.maxConcurrentStreams == 7)
    #expect(limits.mesh.streamWindowBytes == 1_048_576 && limits.edge.streamWindowBytes == 65_536)
    #expect(limits.mesh.streamWindowLimitBytes == 8_388_608 && limits.mesh.windowGrowthBytes == 0)
    #expect(limits.http1.maxFields == 8 && limits.edge.maxFields == 8 && limits.streamIdleSeconds == 7)
    #expect(limits.headSeconds == 3 && limits.connectionIdleSeconds == 60)
    #expect(limits.bodySeconds == 4 && limits.handshakeSeconds == 5)
    #expect(limits.pingSeconds == 20 && limits.pingAnswerSeconds == 6)
  }

  @Test(arguments: [
    ("streams", "NAME=VALUE"), ("nothing=1", "streams"), ("streams=0", "from 1 to 10000"), ("streams=x", "not x"),
    ("streams=99999999999999999999", "from 1 to 10000"), ("head-bytes=1000000", "61440"),
  ])
  func whatCannotBeSetIsRefusedWithWhatCan(_ text: String, _ expected: String) {
    #expect(refused(text)?.contains(expected) == true)
  }

  @Test func theDocumentNamesEveryLimitAndNoOther() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../../docs/limits.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let documented = text.split(separator: "\n").compactMap { line -> String? in
      guard line.hasPrefix("| `") else { return nil }
      return line.dropFirst(3).split(separator: "`").first.map(String.init)
    }
    #expect(documented == ProxyLimits.names)
  }
}
