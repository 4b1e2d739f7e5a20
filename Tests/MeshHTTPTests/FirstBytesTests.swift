import MeshHTTP
import Testing

@Suite struct FirstBytesTests {
  private func classify(_ bytes: [UInt8]) -> FirstBytes { FirstBytes.classify(bytes, bytes.count) }
  private func classify(_ text: String) -> FirstBytes { classify(Array(text.utf8)) }

  @Test(arguments: [
    ("GET / HTTP/1.1\r\n", FirstBytes.http1), ("GET ", .http1), ("DELETE  broken", .http1), ("GE", .undecided),
    ("OPTIONS * HTTP/1.1", .http1), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2), ("PRI * HT", .undecided),
    ("PURGE /x HTTP/1.1\r\n", .http1), ("PURGE /x HTTP/1.1", .undecided), ("PURGE /x FTP/1.1\r\n", .opaque),
    ("PROXY TCP4 1.2.3.4", .proxyProtocol), ("\r\n\r\n\0\r\nQUIT\n!", .proxyProtocol), ("\r\n\r\n", .undecided),
    ("PING\r\n", .opaque), ("*1\r\n$4\r\nPING\r\n", .opaque), ("SET a b\r\n", .opaque), ("EHLO me\r\n", .opaque),
    ("\0\0\0\u{8}", .opaque), ("SSH-2.0-x\r\n", .opaque), ("HELLO HTTP/1.1\r\n", .http1), ("", .undecided),
  ])
  func wordsAreToldApart(_ text: String, _ expected: FirstBytes) {
    #expect(classify(text) == expected)
  }

  @Test func recordsOfTLSAreToldFromTheirFirstTwoBytes() {
    #expect(classify([22]) == .undecided)
    #expect(classify([22, 3, 1, 2, 0]) == .tls)
    #expect(classify([22, 4]) == .opaque)
  }

  @Test func anEndlessFirstLineIsNotWaitedForForever() {
    #expect(classify("PURGE /" + String(repeating: "a", count: FirstBytes.window)) == .opaque)
    #expect(classify(String(repeating: "A", count: 32)) == .opaque)
  }

  @Test func moreBytesNeverTakeADecisionBack() {
    let texts = [
      "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PURGE / HTTP/1.0\r\n\r\n", "PING\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /", "\r\n\r\n\0\r\nQUIT\n!abc", "PRIVATE word\r\n", "PROX\r\n",
      "M" + String(repeating: "-", count: 40) + " / HTTP/1.1\r\n",
      String(repeating: "M", count: 31) + " / HTTP/1.1\r\n",
    ]
    for text in texts {
      let bytes = Array(text.utf8)
      var decided: FirstBytes?
      for count in 0...bytes.count {
        let found = classify(Array(bytes[..<count]))
        if let decided {
          #expect(found == decided, "\(text) at \(count)")
        } else if found != .undecided {
          decided = found
        }
      }
      #expect(decided != nil, "\(text)")
    }
  }
}
