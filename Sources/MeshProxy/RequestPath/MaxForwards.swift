// Unsafe by design: a number is lowered where its field lies.
internal import MeshHTTP
internal import MeshModel

/// TRACE and OPTIONS may say how many hops they are to go (RFC 9110, section 7.6.2). Every proxy is one of them, with HTTP/1
/// and HTTP/2 alike.
extension Worker {
  /// Lowers `Max-Forwards`; where it is 0 already the request goes no further, is answered, and this is true.
  ///
  /// OPTIONS is answered with 200. TRACE is answered with 501: a proxy reflects no request, whose fields may be secrets.
  func endsHere(_ exchange: ExchangeRef, _ head: borrowing MessageHead) -> Bool {
    for index in 0..<head.fieldCount {
      let field = head.fields[index]
      guard head.matches(field.name, "max-forwards"),
        let left = Decimal.parse(head.base + Int(field.value.offset), Int(field.value.length))
      else { continue }
      if left == 0 {
        noteTarget(exchange, head)
        reply(exchange, .maxForwardsReached, status: head.methodToken == .trace ? 501 : 200)
        return true
      }
      lower(UnsafeMutablePointer(mutating: head.base) + Int(field.value.offset), Int(field.value.length))
    }
    return false
  }

  /// Takes one off a decimal number above 0, which keeps its length.
  private func lower(_ digits: UnsafeMutablePointer<UInt8>, _ count: Int) {
    var index = count &- 1
    while index > 0, digits[index] == 0x30 {
      digits[index] = 0x39
      index &-= 1
    }
    digits[index] &-= 1
  }
}
