import Glibc

/// Waiting on a thread that is one's own.
package enum Pause {
  /// Blocks the calling thread for so long, signals or not. Not for Swift's tasks.
  package static func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var left = timespec(tv_sec: Int(max(0, seconds)), tv_nsec: Int(max(0, attoseconds) / 1_000_000_000))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
  }
}
