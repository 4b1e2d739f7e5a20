// Fuzz target for the first bytes of a TLS connection, read to route it by its server name. What must hold: no stray
// access, no crash; every beginning of the input gives "more" or what the whole gives; what is accepted lies within it.
import Glibc
import MeshHTTP
import MeshModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  var cuts = Cuts(source, count)
  let capacity = cuts.next(below: 4) == 0 ? 64 : ClientHelloParser.maxMessageBytes
  let whole = read(source, count, capacity)
  var end = 0
  while end < count {
    end = min(count, end + 1 + cuts.next(below: max(2, count / 4)))
    let piece = read(source, end, capacity)
    if piece != .more { require(piece == whole, "a beginning means what the whole means") }
  }
  return 0
}

/// A result without addresses.
private enum Reading: Equatable {
  case more
  case failure(ClientHelloFailure)
  case hello(name: [UInt8], protocols: [[UInt8]], is13: Bool)
}

private func read(_ source: UnsafePointer<UInt8>, _ count: Int, _ capacity: Int) -> Reading {
  let input = GuardedInput(source, count)
  defer { input.free() }
  let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
  defer { scratch.deallocate() }
  switch ClientHelloParser.parse(input.bytes, count: count, scratch: scratch, capacity: capacity) {
  case .needMore: return .more
  case .failure(let failure): return .failure(failure)
  case .complete(let hello):
    var names: [[UInt8]] = []
    var list = hello.protocols()
    while let name = list.next() {
      require(name.length > 0, "a protocol has a name")
      names.append(Array(hello.bytes(name)))
    }
    require(hello.serverName.length <= 253, "a host name is short")
    return .hello(name: Array(hello.bytes(hello.serverName)), protocols: names, is13: hello.offersTLS13)
  }
}
