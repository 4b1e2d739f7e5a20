// Fuzz target for CONNECT: the input is the authority that is asked for, in HTTP/1 and in HTTP/2, and the address that an
// inbound proxy compares with its own. What must hold: no stray access, no crash; both versions accept the same authorities
// and hand on the same bytes; an address that is read is written and read to the same again, and is one host and one port.
import CMeshSystem
import Glibc
import MeshHTTP
import MeshModel
import MeshReactor

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  address(source, count)
  var first: [UInt8]?
  var second: [UInt8]?
  let text = UnsafeBufferPointer(start: source, count: min(count, 300))
  http1(text) { first = $0 }
  http2(text) { second = $0 }
  // A target of HTTP/1 must have a port; an authority of HTTP/2 is looked at when it is searched for.
  if let first { require(second == first, "what HTTP/1 takes HTTP/2 takes") }
  if let second {
    address(second, second.count)
    for byte in second { require(byte > 0x20 && byte < 0x7F, "an authority has only plain bytes") }
    require(!second.contains(0x2F) && !second.contains(0x40), "neither a path nor a user is part of it")
  }
  return 0
}

/// Reads an address as the inbound proxy does, and as configuration is read.
private func address(_ source: UnsafePointer<UInt8>, _ count: Int) {
  let input = GuardedInput(source, count)
  defer { input.free() }
  guard let found = SocketAddress(text: UnsafeBufferPointer(start: input.bytes, count: count)) else { return }
  let written = Array(found.description.utf8)
  let again = written.withUnsafeBufferPointer { SocketAddress(text: $0) }
  require(again == found, "what is read is written and read to the same")
  require(count <= 72, "an address is short")
  require(input.bytes[count - 1] >= 0x30 && input.bytes[count - 1] <= 0x39, "a port is a number")
}

private func http1(_ text: UnsafeBufferPointer<UInt8>, _ take: ([UInt8]) -> Void) {
  let message = Array("CONNECT ".utf8) + text + Array(" HTTP/1.1\r\nhost: ".utf8) + text + Array("\r\n\r\n".utf8)
  acceptedRequest(message, message.count) { head, info, length in
    guard length == message.count, info.targetForm == .authority else { return }
    require(info.framing == .none, "CONNECT has no body")
    take(Array(head.bytes(head.authority)))
  }
}

private func http2(_ text: UnsafeBufferPointer<UInt8>, _ take: ([UInt8]) -> Void) {
  let limits = HTTP2Limits()
  let fields = UnsafeMutablePointer<FieldRef>.allocate(capacity: limits.maxFields)
  defer { fields.deallocate() }
  let arena = UnsafeMutablePointer<UInt8>.allocate(capacity: limits.arenaBytes)
  let scratch = HTTP2Scratch(
    arena: arena, arenaBytes: limits.arenaBytes, fields: fields, fieldCapacity: limits.maxFields)
  defer { scratch.release() }
  var server = HTTP2Connection(role: .server, limits: limits)
  // `:method` and `:authority` as literals with names from the static table (RFC 7541, section 6.2.2).
  var block = [0x02, 0x07] + Array("CONNECT".utf8) + [0x01]
  block += text.count < 127 ? [UInt8(text.count)] : longLength(text.count)
  block += text
  var message = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
  message += [0, UInt8(block.count >> 8), UInt8(block.count & 255), 1, 4, 0, 0, 0, 1] + block
  let guarded = GuardedInput(message, message.count)
  defer { guarded.free() }
  var input = HTTP2Input(guarded.bytes, count: guarded.count)
  while true {
    switch server.next(&input, scratch) {
    case .needMore, .failed: return
    case .head(_, let head):
      require(head.head.methodToken == .connect, "the method is what was sent")
      take(Array(head.head.bytes(head.head.authority)))
    default: continue
    }
  }
}

/// A length over what seven bits hold (RFC 7541, section 5.1).
private func longLength(_ count: Int) -> [UInt8] {
  let rest = count - 127
  return rest < 128 ? [127, UInt8(rest)] : [127, UInt8(rest & 127) | 128, UInt8(rest >> 7)]
}
