// Unsafe by design: the answer is read where it was received.
internal import MeshReactor

/// One request of OTLP/HTTP, on a connection of its own.
final class HTTPExport {
  private let stream: SideStream
  private let request: [UInt8]
  private var answer: [UInt8] = []
  private var done: ((Collector.Outcome) -> Void)?

  /// Longest status line that is read.
  private static let maxLine = 1_024

  /// Begins; `done` is called once.
  ///
  /// - Throws: what keeps it from beginning.
  static func send(
    _ payload: [UInt8], to target: ExportTarget, path: String, headers: [String: String], loop: SideLoop,
    clockOffset: Int64, done: @escaping (Collector.Outcome) -> Void
  ) throws(ExportFault) {
    do throws(SystemError) {
      _ = try HTTPExport(
        payload, target, path: path, headers: headers, loop: loop, clockOffset: clockOffset, done: done)
    } catch {
      throw ExportFault(message: "\(error)")
    }
  }

  private init(
    _ payload: [UInt8], _ target: ExportTarget, path: String, headers: [String: String], loop: SideLoop,
    clockOffset: Int64, done: @escaping (Collector.Outcome) -> Void
  ) throws(SystemError) {
    self.done = done
    var head = "POST \(target.path)\(path) HTTP/1.1\r\nhost: \(target.authority)\r\n"
    head += "content-type: application/x-protobuf\r\ncontent-length: \(payload.count)\r\nconnection: close\r\n"
    for (name, value) in headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
    request = Array((head + "\r\n").utf8) + payload
    stream = try SideStream(
      loop: loop, address: target.address, context: target.context, expectation: target.expectation,
      clockOffset: clockOffset, peer: "the collector")
    // The stream lives as long as its descriptor is open, and keeps this alive.
    stream.opened = { [self] in
      request.withUnsafeBufferPointer { bytes in
        if let start = bytes.baseAddress { stream.send(start, bytes.count) }
      }
    }
    stream.received = { [self] bytes, count in read(UnsafeBufferPointer(start: bytes, count: count)) }
    stream.closed = { [self] why in
      finish(.retry(why))
      stream.opened = {}
      stream.received = { _, _ in }
      stream.closed = { _ in }
    }
  }

  private func read(_ bytes: UnsafeBufferPointer<UInt8>) {
    answer += bytes.prefix(Self.maxLine)
    guard let end = answer.firstIndex(of: 0x0A) else {
      if answer.count > Self.maxLine { stream.close("its answer is no HTTP") }
      return
    }
    let words = String(decoding: answer[..<end], as: UTF8.self).split(separator: " ")
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
      return stream.close("its answer is no HTTP")
    }
    switch status {
    case 200...299: finish(.done)
    case 429, 502, 503, 504: finish(.retry("status \(status)"))
    default: finish(.refused("status \(status)"))
    }
    stream.close("done")
  }

  private func finish(_ outcome: Collector.Outcome) {
    let done = done
    self.done = nil
    done?(outcome)
  }
}
