import Foundation
import Synchronization

/// The tokens of open dashboards. A session reads; it writes only where the operator asked for that when it was opened.
/// Sessions live in memory: they end with the control plane.
final class DashboardSessions: Sendable {
  /// How long a session lasts.
  static let life: Duration = .seconds(12 * 3600)
  /// Sessions at a time; beyond it the oldest ends.
  static let most = 64

  struct Session: Sendable {
    let token: String
    let mayWrite: Bool
    let end: ContinuousClock.Instant
  }

  private let sessions = Mutex<[Session]>([])

  /// Opens a session.
  func open(mayWrite: Bool) -> Session {
    // 128 bits out of the system's generator; short enough for a line of a terminal.
    var generator = SystemRandomNumberGenerator()
    let token = (0..<2).map { _ in Self.hexadecimal(generator.next()) }.joined()
    let session = Session(token: token, mayWrite: mayWrite, end: .now + Self.life)
    sessions.withLock { open in
      open.removeAll { $0.end <= .now }
      if open.count >= Self.most { open.removeFirst() }
      open.append(session)
    }
    return session
  }

  /// The session with this token; nil where there is none, or no more.
  func session(_ token: String) -> Session? {
    sessions.withLock { open in
      open.first { $0.end > .now && APIResponder.isSame(Array($0.token.utf8), Array(token.utf8)) }
    }
  }

  private static func hexadecimal(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}
