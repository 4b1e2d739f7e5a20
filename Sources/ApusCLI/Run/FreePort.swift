import ApusHTTP
import FoundationEssentials

/// Finds ports for programs that are started a moment later.
///
/// A port that the kernel picks is of the range from which it also takes the near ends of outgoing connections: until
/// the program listens, any connection of the machine may get it. Ports below that range are free of that.
package enum FreePort {
  /// The lowest port that is picked: above those that the mesh is known by.
  private static let lowest: UInt16 = 16_384
  /// Ports that are tried below the kernel's range before one of that range is taken.
  private static let attempts = 100

  /// A port of the loopback address that nobody listens on now.
  package static func find() throws(CLIFailure) -> UInt16 {
    let end = kernelRangeBegin(Files.read("/proc/sys/net/ipv4/ip_local_port_range"))
    if end > lowest {
      for _ in 0..<attempts {
        if let port = try? listen(on: UInt16.random(in: lowest..<end)) { return port }
      }
    }
    do throws(HTTPFailure) {
      return try listen(on: 0)
    } catch {
      throw CLIFailure(.failed, "there is no free port: \(error.message)", hint: "name one with --port")
    }
  }

  /// Where the range begins from which the kernel takes ports of its own: the first of two numbers; 0 where that is not
  /// known.
  package static func kernelRangeBegin(_ content: [UInt8]?) -> UInt16 {
    let first = content.flatMap { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).first }
    return first.flatMap { UInt16($0) } ?? 0
  }

  private static func listen(on port: UInt16) throws(HTTPFailure) -> UInt16 {
    try ListeningSocket(HTTPAddress(host: "127.0.0.1", port: port)).port
  }
}
