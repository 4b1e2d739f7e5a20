package import CMeshSystem
internal import Glibc

/// An IPv4 or IPv6 address with a port, as the kernel takes it.
package struct SocketAddress: Equatable, Sendable, CustomStringConvertible {
  package var family: Int32
  /// 16 bytes; IPv4 uses the first four.
  package var bytes: (UInt64, UInt64)
  package var port: UInt16

  package init(family: Int32, bytes: (UInt64, UInt64), port: UInt16) {
    self.family = family
    self.bytes = bytes
    self.port = port
  }

  package static func == (left: SocketAddress, right: SocketAddress) -> Bool {
    left.family == right.family && left.bytes == right.bytes && left.port == right.port
  }

  /// Whether this is an address of the same host, whatever the ports.
  package func sameHost(as other: SocketAddress?) -> Bool {
    guard let other else { return false }
    return family == other.family && bytes == other.bytes
  }

  /// Reads a numeric address (`127.0.0.1`, `::1`); nothing for names.
  package init?(address: String, port: UInt16) {
    var four = in_addr()
    var six = in6_addr()
    if inet_pton(AF_INET, address, &four) == 1 {
      self.init(family: AF_INET, bytes: (UInt64(four.s_addr), 0), port: port)
    } else if inet_pton(AF_INET6, address, &six) == 1 {
      let pair = withUnsafeBytes(of: &six) {
        ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
      self.init(family: AF_INET6, bytes: pair, port: port)
    } else {
      return nil
    }
  }

  /// Reads `address:port`, an IPv6 address in brackets.
  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
    var host = text[..<colon]
    if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
    self.init(address: String(host), port: port)
  }

  /// The same from bytes that came from a peer, without a string of them.
  package init?(text: UnsafeBufferPointer<UInt8>) {
    guard let colon = text.lastIndex(of: 0x3A), text.count &- colon <= 6, text.count > colon &+ 1 else { return nil }
    var port: UInt32 = 0
    for byte in text[(colon &+ 1)...] {
      guard byte &- 0x30 < 10 else { return nil }
      port = port &* 10 &+ UInt32(byte &- 0x30)
    }
    var host = text[..<colon]
    if host.first == 0x5B, host.last == 0x5D, host.count >= 2 { host = host.dropFirst().dropLast() }
    // An address is shorter, and a zero ends it.
    var name: InlineArray<64, UInt8> = InlineArray(repeating: 0)
    guard port <= 65_535, host.count < 64 else { return nil }
    var index = 0
    for byte in host {
      guard byte != 0 else { return nil }
      name[index] = byte
      index &+= 1
    }
    self.init(name: name, port: UInt16(truncatingIfNeeded: port))
  }

  private init?(name: InlineArray<64, UInt8>, port: UInt16) {
    var pair: (UInt64, UInt64) = (0, 0)
    let family = withUnsafeBytes(of: name) { bytes -> Int32 in
      guard let characters = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return 0 }
      var four = in_addr()
      if inet_pton(AF_INET, characters, &four) == 1 {
        pair.0 = UInt64(four.s_addr)
        return AF_INET
      }
      return inet_pton(AF_INET6, characters, &pair) == 1 ? AF_INET6 : 0
    }
    guard family != 0 else { return nil }
    self.init(family: family, bytes: pair, port: port)
  }

  /// Reads what accept or getsockname gave.
  package init?(_ storage: UnsafePointer<sockaddr_storage>) {
    switch Int32(storage.pointee.ss_family) {
    case AF_INET:
      let four = UnsafeRawPointer(storage).assumingMemoryBound(to: sockaddr_in.self).pointee
      self.init(family: AF_INET, bytes: (UInt64(four.sin_addr.s_addr), 0), port: UInt16(bigEndian: four.sin_port))
    case AF_INET6:
      var six = UnsafeRawPointer(storage).assumingMemoryBound(to: sockaddr_in6.self).pointee
      let pair = withUnsafeBytes(of: &six.sin6_addr) {
        ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
      self.init(family: AF_INET6, bytes: pair, port: UInt16(bigEndian: six.sin6_port))
    default: return nil
    }
  }

  /// Calls `body` with the kernel's form.
  package func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    if family == AF_INET {
      var four = sockaddr_in()
      four.sin_family = sa_family_t(AF_INET)
      four.sin_port = port.bigEndian
      four.sin_addr.s_addr = UInt32(truncatingIfNeeded: bytes.0)
      return withUnsafePointer(to: &four) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
      }
    }
    var six = sockaddr_in6()
    six.sin6_family = sa_family_t(AF_INET6)
    six.sin6_port = port.bigEndian
    withUnsafeMutableBytes(of: &six.sin6_addr) {
      $0.storeBytes(of: bytes.0, as: UInt64.self)
      $0.storeBytes(of: bytes.1, toByteOffset: 8, as: UInt64.self)
    }
    return withUnsafePointer(to: &six) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
    }
  }

  /// The address without the port, 4 or 16 bytes in the order of the network.
  package var networkBytes: [UInt8] {
    withUnsafeBytes(of: bytes) { Array($0.prefix(family == AF_INET ? 4 : 16)) }
  }

  /// The address without the port, as text.
  package var host: String {
    var text = [UInt8](repeating: 0, count: 64)
    var copy = bytes
    return text.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return "" }
      let characters = base.assumingMemoryBound(to: CChar.self)
      guard inet_ntop(family, &copy, characters, 64) != nil else { return "" }
      return String(cString: characters)
    }
  }

  /// Writes the address without the port, as `host` has it, without a string of it.
  ///
  /// - Parameter place: room for 64 bytes.
  /// - Returns: how many were written.
  package func writeHost(to place: UnsafeMutablePointer<UInt8>) -> Int {
    var copy = bytes
    return place.withMemoryRebound(to: CChar.self, capacity: 64) { characters in
      inet_ntop(family, &copy, characters, 64) == nil ? 0 : strnlen(characters, 64)
    }
  }

  /// Whether it leads back to this machine: 127.0.0.0/8, ::1.
  package var isLoopback: Bool { family == AF_INET6 ? host == "::1" : host.hasPrefix("127.") }

  package var description: String { family == AF_INET6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The sockets a loop opens, all non-blocking.
package enum Sockets {
  /// A listening socket. Each loop has one of its own on the same port (SO_REUSEPORT), so that accepting needs no lock.
  ///
  /// - Parameter joins: whether other sockets of this process listen there already. The first one is bound without
  ///   SO_REUSEPORT, which it gets afterwards: a port that another process of the same user has is in use then, where it
  ///   would be shared with it else, connection by connection.
  /// - Throws: EADDRINUSE where the port is another's.
  package static func listen(
    _ address: SocketAddress, joins: Bool = false, backlog: Int32 = 4096
  ) throws(SystemError) -> Int32 {
    let descriptor = cms_stream_socket(address.family)
    guard descriptor >= 0 else { throw SystemError("socket") }
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    if joins { setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, 4) }
    var result = address.withSockaddr { bind(descriptor, $0, $1) }
    if result == 0, !joins { result = setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, 4) }
    guard result == 0, Glibc.listen(descriptor, backlog) == 0 else {
      let error = SystemError("listen on \(address)")
      cms_close(descriptor)
      throw error
    }
    return descriptor
  }

  /// Begins to connect; the result shows when the socket becomes writable.
  /// Returns a negated errno where it failed at once.
  package static func connect(_ address: borrowing SocketAddress) -> Int32 {
    let descriptor = cms_stream_socket(address.family)
    guard descriptor >= 0 else { return -errno }
    noDelay(descriptor)
    let result = address.withSockaddr { cms_connect(descriptor, $0, $1) }
    if result != 0, errno != EINPROGRESS {
      let code = errno
      cms_close(descriptor)
      return -code
    }
    return descriptor
  }

  /// Switches Nagle's algorithm off.
  package static func noDelay(_ descriptor: Int32) { cms_no_delay(descriptor) }

  /// Why an asynchronous connect failed, 0 if it did not.
  package static func pendingError(_ descriptor: Int32) -> Int32 { cms_pending_error(descriptor) }

  /// Where a socket is bound.
  package static func localAddress(_ descriptor: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return cms_local_address(descriptor, &storage, &length) == 0 ? SocketAddress(&storage) : nil
  }
}
