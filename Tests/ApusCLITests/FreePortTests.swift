import ApusCLI
import ApusHTTP
import Foundation
import Testing

@Suite struct FreePortTests {
  @Test func portsAreOfBelowTheKernelsRangeAndCanBeListenedOn() throws {
    let range = try Data(contentsOf: URL(fileURLWithPath: "/proc/sys/net/ipv4/ip_local_port_range"))
    let end = FreePort.kernelRangeBegin(Array(range))
    try #require(end > 16_384, "the kernel's range begins too low here to be told from what is picked")
    for _ in 0..<50 {
      let port = try FreePort.find()
      #expect(port >= 16_384 && port < end)
      #expect(try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: port)).port == port)
    }
  }

  @Test(arguments: [("32768\t60999\n", 32768), ("1024 65535", 1024), ("", 0), ("x y", 0), ("99999 1", 0)])
  func theRangeBeginsWithTheFirstOfTwoNumbers(content: String, begin: UInt16) {
    #expect(FreePort.kernelRangeBegin(Array(content.utf8)) == begin)
  }

  @Test func whereTheRangeIsNotKnownAnyPortWillDo() {
    #expect(FreePort.kernelRangeBegin(nil) == 0)
  }
}
