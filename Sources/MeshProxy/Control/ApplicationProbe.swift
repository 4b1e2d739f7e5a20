internal import MeshWire

/// Whether the application listens, read from the kernel's tables: it is not connected to, so it notices nothing.
struct ApplicationProbe {
  private let ports: [UInt16]
  private var nextLook: UInt64 = 0
  private var isListening = false
  private var hasListened = false
  /// Looks in a row that found nobody listening.
  private var vainLooks = 0
  /// So many of those come quickly: an application that is just being started. What does not listen then, may never.
  private static let quickLooks = 50

  init(ports: [UInt16]) { self.ports = ports }

  /// The health to report, when it was time to look (monotonic nanoseconds); nil when it was not, or there is nothing to
  /// look at.
  mutating func health(now: UInt64) -> Health? {
    guard !ports.isEmpty, now >= nextLook else { return nil }
    nextLook = now &+ (isListening || vainLooks > Self.quickLooks ? 1_000_000_000 : 200_000_000)
    var listening: Set<UInt16> = []
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
      guard let bytes = try? Files.read(table) else { continue }
      for line in bytes.split(separator: 0x0A).dropFirst() {
        let columns = line.split(separator: 0x20, maxSplits: 4)
        guard columns.count > 3, columns[3].elementsEqual("0A".utf8), let colon = columns[1].lastIndex(of: 0x3A),
          let port = UInt16(String(decoding: columns[1][(colon + 1)...], as: UTF8.self), radix: 16)
        else { continue }
        listening.insert(port)
      }
    }
    isListening = ports.allSatisfy { listening.contains($0) }
    hasListened = hasListened || isListening
    vainLooks = isListening ? 0 : min(vainLooks + 1, Self.quickLooks + 1)
    return isListening ? .healthy : hasListened ? .unhealthy : .notListening
  }
}
