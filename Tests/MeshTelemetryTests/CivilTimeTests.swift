import MeshModel
import MeshTelemetry
import Testing

@Suite struct CivilTimeTests {
  @Test(
    "the date of HTTP's fields",
    arguments: [
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
      (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
      (Int64.max, "Fri, 31 Dec 9999 23:59:59 GMT"), (Int64.min, "Sat, 01 Jan 0000 00:00:00 GMT"),
    ])
  func http(_ seconds: Int64, _ text: String) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { room in
      var writer = FixedWriter(room)
      CivilTime.writeHTTP(seconds: seconds, into: &writer)
      #expect(String(decoding: writer.written, as: UTF8.self) == text)
    }
  }
}
