internal import Glibc
internal import Synchronization

/// Lines about the proxy's own doings, to standard error. Shared by all threads; nothing of a request goes through it.
package final class Log: Sendable {
  private let level: Atomic<UInt8>

  package init(_ level: LogLevel) { self.level = Atomic(level.rawValue) }

  /// What is written now.
  package var threshold: LogLevel {
    get { LogLevel(rawValue: level.load(ordering: .relaxed)) ?? .info }
    set { level.store(newValue.rawValue, ordering: .relaxed) }
  }

  /// Writes one line in one call.
  package func write(_ level: LogLevel, _ message: @autoclosure () -> String) {
    guard level <= threshold else { return }
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var parts = tm()
    gmtime_r(&time.tv_sec, &parts)
    var stamp = [CChar](repeating: 0, count: 32)
    strftime(&stamp, 32, "%Y-%m-%dT%H:%M:%S", &parts)
    let text = stamp.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    let fraction = String(time.tv_nsec / 1_000_000 + 1000).dropFirst()
    var line = "\(text).\(fraction)Z \(level) \(message().split(separator: "\n").joined(separator: " "))\n"
    line.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
  }
}
