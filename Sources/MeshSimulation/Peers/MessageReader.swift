/// Reads HTTP/1.1 messages, a piece at a time: written apart from the proxy's own parser, so that it does not share its
/// mistakes. It takes what the peers of a simulation send and nothing more.
struct MessageReader {
  enum Event {
    /// First line, and fields with names in lower case.
    case head(String, [String: String])
    case body(ArraySlice<UInt8>)
    case end
    case failed(String)
  }

  private enum State {
    case head
    case length(Int)
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailers
    case untilClose
  }

  let isResponse: Bool
  /// Responses to HEAD have no body.
  var isHead = false
  private var state = State.head
  private var bytes: [UInt8] = []
  private var start = 0

  init(isResponse: Bool) { self.isResponse = isResponse }

  mutating func feed(_ more: ArraySlice<UInt8>) {
    if start == bytes.count {
      bytes.removeAll(keepingCapacity: true)
      start = 0
    }
    bytes += more
  }

  /// Whether a message has begun.
  var isMidMessage: Bool {
    if case .head = state { return start < bytes.count }
    return true
  }

  /// Whether the stream may end here as the end of the message.
  var endsWithStream: Bool {
    if case .untilClose = state { return true }
    return false
  }

  mutating func next() -> Event? {
    switch state {
    case .head: return head()
    case .length(let left):
      if left == 0 {
        state = .head
        return .end
      }
      guard let piece = take(left) else { return nil }
      state = .length(left - piece.count)
      return .body(piece)
    case .chunkSize:
      guard let line = line() else { return nil }
      guard let size = Int(line.split(separator: ";").first ?? "", radix: 16) else {
        return .failed("chunk size \(line)")
      }
      state = size == 0 ? .trailers : .chunk(size)
      return next()
    case .chunk(let left):
      guard let piece = take(left) else { return nil }
      state = piece.count == left ? .chunkEnd : .chunk(left - piece.count)
      return .body(piece)
    case .chunkEnd:
      guard let line = line() else { return nil }
      guard line.isEmpty else { return .failed("a chunk runs on") }
      state = .chunkSize
      return next()
    case .trailers:
      while let line = line() {
        if line.isEmpty {
          state = .head
          return .end
        }
      }
      return nil
    case .untilClose: return take(.max).map { .body($0) }
    }
  }

  private mutating func take(_ most: Int) -> ArraySlice<UInt8>? {
    let count = min(most, bytes.count - start)
    guard count > 0 else { return nil }
    defer { start += count }
    return bytes[start..<start + count]
  }

  private mutating func line() -> String? {
    guard let end = bytes[start...].firstIndex(of: 0x0A) else { return nil }
    defer { start = end + 1 }
    return String(decoding: bytes[start..<max(start, end - 1)], as: UTF8.self)
  }

  private mutating func head() -> Event? {
    var index = start
    while index + 3 < bytes.count, bytes[index] != 13 || bytes[index + 2] != 13 || bytes[index + 3] != 10 { index += 1 }
    guard index + 3 < bytes.count else { return nil }
    guard let first = line() else { return nil }
    var fields: [String: String] = [:]
    while let line = line(), !line.isEmpty {
      guard let colon = line.firstIndex(of: ":") else { return .failed("field \(line)") }
      let name = line[..<colon].lowercased()
      if fields[name] != nil, name == "content-length" || name == "transfer-encoding" { return .failed("two \(name)") }
      let value = line[line.index(after: colon)...]
      fields[name] = String(value.drop { $0 == " " })
    }
    let status = isResponse ? Int(first.split(separator: " ").dropFirst().first ?? "") ?? 0 : 0
    if isResponse, status < 200 {
      state = .head
    } else if isHead || status == 204 || status == 304 {
      state = .length(0)
    } else if fields["transfer-encoding"] == "chunked" {
      state = .chunkSize
    } else if let length = fields["content-length"] {
      guard let count = Int(length) else { return .failed("content-length \(length)") }
      state = .length(count)
    } else {
      state = isResponse ? .untilClose : .length(0)
    }
    return .head(first, fields)
  }
}
