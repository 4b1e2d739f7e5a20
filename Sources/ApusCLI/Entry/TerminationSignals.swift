import ApusHTTP
import CApusSystem
import Glibc

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT as something to wait for.
package struct TerminationSignals: Sendable {
  private let descriptor: Int32

  /// To be made on the main thread before any other starts, so that no thread takes a signal meant for the waiter.
  package init() throws(CLIFailure) {
    descriptor = apus_signals_open()
    guard descriptor >= 0 else { throw CLIFailure(.failed, "cannot wait for signals: \(SystemText.of(descriptor))") }
  }

  /// Blocks the calling thread until one of them comes.
  /// - Returns: its number.
  package func wait() -> Int32 {
    var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
    var fromTerminal: Int32 = 0
    while true {
      _ = poll(&descriptors, 1, -1)
      while case let signal = apus_signals_next(descriptor, &fromTerminal), signal != 0 {
        if [SIGINT, SIGTERM, SIGHUP, SIGQUIT].contains(signal) { return signal }
      }
    }
  }
}
