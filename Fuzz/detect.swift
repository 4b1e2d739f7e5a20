// Fuzz target for telling protocols apart by the first bytes of a connection. What must hold: no stray access, no crash; a
// decision is never taken back by more bytes; it comes within the window; what is found to be HTTP/2 is a preface that the
// codec takes, what is TLS is never taken for HTTP, and a request that the HTTP/1 parser accepts is never taken for bytes.
import Glibc
import MeshHTTP
import MeshModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  var decided: (what: FirstBytes, at: Int)?
  var end = 0
  while end < count {
    end += 1
    let found = classify(source, end)
    if let decided {
      require(found == decided.what, "more bytes never take a decision back")
    } else if found != .undecided {
      decided = (found, end)
    }
    if end >= 600, end < count - 1, decided != nil { end = count - 1 }
  }
  if count >= FirstBytes.window { require(decided != nil, "a decision comes within the window") }
  beginsAsRequest(source, count, decided?.what ?? .undecided)
  guard let decided else { return 0 }
  switch decided.what {
  case .http2:
    require(decided.at == 14, "a preface is told by what no request line begins with")
    require(HTTP2Connection.beginsWithPreface(source, count) == .yes, "and is one")
  case .tls: require(source[0] == 22 && source[1] == 3, "a record of a handshake")
  case .http1: require(source[0] > 0x20 && source[0] < 0x7F, "a method is a word")
  case .proxyProtocol: require(decided.at == 6 || decided.at == 12, "a signature is whole")
  case .opaque, .undecided: break
  }
  return 0
}

private func classify(_ source: UnsafePointer<UInt8>, _ count: Int) -> FirstBytes {
  let input = GuardedInput(source, count)
  defer { input.free() }
  return FirstBytes.classify(input.bytes, count)
}

/// What the parser takes for a request must have been taken for HTTP.
private func beginsAsRequest(_ source: UnsafePointer<UInt8>, _ count: Int, _ found: FirstBytes) {
  acceptedRequest(source, count) { head, _, _ in
    // A method of more than 31 letters, or empty lines first, are left to ports that are declared.
    guard head.bytes(head.method).count < 32, source[0] > 0x20 else { return }
    require(found == .http1, "a request is never taken for bytes")
  }
}
