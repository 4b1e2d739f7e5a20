import CApusSystem
import Glibc

/// One connected stream socket, closed with the value.
package struct Socket: ~Copyable {
  private let descriptor: Int32

  init(descriptor: Int32) {
    self.descriptor = descriptor
  }

  deinit {
    close(descriptor)
  }

  /// Connects by name or numeric address.
  /// - Parameter timeout: bounds the wait for the connection, and later each single read and write.
  package static func connect(to address: HTTPAddress, timeout: Duration) throws(HTTPFailure) -> Socket {
    let descriptor = apus_connect(address.host, String(address.port), timeout.wholeMilliseconds)
    guard descriptor >= 0 else { throw .unreachable(address, SystemText.of(descriptor)) }
    let socket = Socket(descriptor: descriptor)
    try socket.setTimeout(timeout)
    return socket
  }

  /// Bounds each single read and write from now on. Zero: no bound.
  package func setTimeout(_ timeout: Duration) throws(HTTPFailure) {
    let result = apus_set_timeout(descriptor, timeout.wholeMilliseconds)
    guard result == 0 else { throw .socket(SystemText.of(result)) }
  }

  /// What has come, at most `limit` bytes; empty at the end of the stream.
  package func read(limit: Int = 64 * 1024) throws(HTTPFailure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    while true {
      let count = recv(descriptor, &bytes, limit, 0)
      if count >= 0 {
        bytes.removeLast(limit - count)
        return bytes
      }
      if errno == EINTR { continue }
      throw Self.failure(errno)
    }
  }

  /// Writes everything.
  package func write(_ bytes: [UInt8]) throws(HTTPFailure) {
    var rest = bytes
    while !rest.isEmpty {
      let count = send(descriptor, rest, rest.count, Int32(MSG_NOSIGNAL))
      if count > 0 {
        if count == rest.count { return }
        rest.removeFirst(count)
      } else if errno != EINTR {
        throw Self.failure(errno)
      }
    }
  }

  private static func failure(_ code: Int32) -> HTTPFailure {
    switch code {
    case EAGAIN: .timedOut
    case EPIPE, ECONNRESET: .closed
    default: .socket(SystemText.of(-code))
    }
  }
}

/// A listening socket, closed with the value.
package struct ListeningSocket: ~Copyable {
  private let descriptor: Int32
  /// The port it listens on, also where port 0 was asked for.
  package let port: UInt16

  /// - Parameter address: numeric; port 0 takes a free one.
  package init(_ address: HTTPAddress) throws(HTTPFailure) {
    let descriptor = apus_listen(address.host, String(address.port))
    guard descriptor >= 0 else { throw .socket("cannot listen on \(address): \(SystemText.of(descriptor))") }
    let port = apus_local_port(descriptor)
    guard port >= 0 else {
      close(descriptor)
      throw .socket("cannot listen on \(address): \(SystemText.of(port))")
    }
    self.descriptor = descriptor
    self.port = UInt16(truncatingIfNeeded: port)
  }

  deinit {
    close(descriptor)
  }

  /// Waits for the next connection.
  package func accept() throws(HTTPFailure) -> Socket {
    let accepted = apus_accept(descriptor)
    guard accepted >= 0 else { throw .socket(SystemText.of(accepted)) }
    return Socket(descriptor: accepted)
  }
}

/// The system's words for a negative error number, and for a failed look-up of a name.
package enum SystemText {
  package static func of(_ result: Int32) -> String {
    result <= -1000 ? String(cString: apus_resolve_error(result)) : String(cString: strerror(-result))
  }
}

extension Duration {
  /// Milliseconds, at most what fits a bound of the system (24 days).
  package var wholeMilliseconds: Int32 {
    let (seconds, attoseconds) = components
    let milliseconds = seconds.multipliedReportingOverflow(by: 1000)
    guard !milliseconds.overflow else { return seconds < 0 ? 0 : .max }
    return Int32(clamping: max(0, milliseconds.partialValue) + max(0, attoseconds) / 1_000_000_000_000_000)
  }
}
