// Unsafe by design: fields are found in the request as it was written, and written into the answer's buffer.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor

/// Cross-origin resource sharing, for rules that have to do with it: preflight requests are answered here, and answers to
/// scripts' requests say whether they may be shared.
extension Worker {
  /// Answers the request if it is a preflight request to a rule that has to do with origins.
  func answersPreflight(
    _ exchange: ExchangeRef, _ rule: UnsafePointer<CompiledRule>, _ head: borrowing MessageHead,
    _ routes: UnsafePointer<RouteTableView>
  ) -> Bool {
    guard let index = rule.pointee.sharing, routes.pointee.corsRequest(head) == .preflight else { return false }
    noteTarget(exchange, head)
    exchange.pointee.reason = .corsPreflight
    begin(exchange, 204)
    guard var writer = self.head(exchange, 204, contentType: nil, reason: .corsPreflight) else { return false }
    let cors = routes.pointee.sharing[Int(index)]
    var fields = FixedWriter(base: headBuffer + Self.headCapacity / 2, capacity: Self.headCapacity / 2)
    routes.pointee.writePreflight(cors, head, into: &fields)
    if !fields.overflowed { writer.bytes(fields.written) }
    writer.endOfLine()
    send(exchange, writer)
    return true
  }

  /// Adds to an answer whether the origin that the request named may share it.
  func appendSharing(_ writer: inout HTTP1Writer, _ exchange: ExchangeRef) {
    guard exchange.pointee.rule >= 0, let routes = exchange.pointee.routes,
      let index = routes.pointee.rules[Int(exchange.pointee.rule)].sharing,
      let origin = requestField(exchange, "origin")
    else { return }
    writer.fields { routes.pointee.writeShared(routes.pointee.sharing[Int(index)], origin: origin, into: &$0) }
  }

  /// The value of the first field of this name (lower case) in the request as it went upstream.
  private func requestField(_ exchange: ExchangeRef, _ name: StaticString) -> UnsafeBufferPointer<UInt8>? {
    guard let bytes = exchange.pointee.request.bytes else { return nil }
    let end = min(exchange.pointee.headLength, exchange.pointee.request.count)
    var start = 0
    while start < end {
      var stop = start
      while stop < end, bytes[stop] != 0x0A { stop &+= 1 }
      if let value = Self.value(bytes + start, stop &- start, name) { return value }
      start = stop &+ 1
    }
    return nil
  }

  /// The value on a line `name: value`, without the white space around it.
  private static func value(
    _ line: UnsafePointer<UInt8>, _ count: Int, _ name: StaticString
  ) -> UnsafeBufferPointer<UInt8>? {
    let length = name.utf8CodeUnitCount
    guard count > length, line[length] == UInt8(ascii: ":") else { return nil }
    for index in 0..<length {
      let byte = line[index]
      guard (byte &- 65 < 26 ? byte | 32 : byte) == name.utf8Start[index] else { return nil }
    }
    var start = length &+ 1
    var end = count
    while start < end, line[start] == 0x20 || line[start] == 0x09 { start &+= 1 }
    while end > start, line[end &- 1] <= 0x20 { end &-= 1 }
    return UnsafeBufferPointer(start: line + start, count: end &- start)
  }
}
