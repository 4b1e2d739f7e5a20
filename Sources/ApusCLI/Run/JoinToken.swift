import ApusHTTP
import MeshControl

/// Keeps the token with which a proxy asks for its first certificate: written before the proxy starts, renewed while there
/// is still a quarter of its life left.
struct TokenKeeper: Sendable {
  var address: HTTPAddress
  var apiToken: String?
  var apiTokenFile: String
  var namespace: String
  var account: String
  /// Where the proxy reads it.
  var file: String

  /// The pause after a failed renewal.
  static let retryPause = Duration.seconds(5)
  /// How long is slept at a time: timers stand still while a machine is suspended, and the time of day does not.
  static let longestNap = Duration.seconds(5)
  /// The shortest pause between two renewals.
  static let minimumPause = Duration.seconds(1)

  /// Fetches a token and writes it down.
  /// - Returns: when it ends; absent where the answer does not say.
  func renew() throws(CLIFailure) -> Timestamp? {
    var client = APIClient(address: address, token: apiToken, tokenFile: apiTokenFile)
    let place = "\(PercentCoding.encode(namespace))/serviceaccounts/\(PercentCoding.encode(account))"
    let answer = try client.call("POST", "/apis/apus.dev/v1/namespaces/\(place)/token", body: Array("{}".utf8))
    guard let token = answer["token"]?.text else {
      throw CLIFailure(.failed, "the control plane at \(address) gave no join token", hint: "`apus check` may know why")
    }
    try Files.writePrivate(file, Array((token + "\n").utf8))
    return answer["expiresAt"]?.text.flatMap { Timestamp(rfc3339: $0) }
  }

  /// Renews the token on a thread of its own for as long as the process lives.
  func keep(until end: Timestamp?, now: @escaping @Sendable () -> Timestamp) {
    guard let end else { return }
    DetachedThread.start {
      var end = end
      while true {
        Self.sleep(Self.pause(now: now(), end: end), now: now)
        do throws(CLIFailure) {
          guard let next = try renew() else { return }
          end = next
        } catch {
          // The control plane is away: the old token stays, and the next try comes soon.
          Pause.sleep(Self.retryPause)
        }
      }
    }
  }

  /// Sleeps until so much of the time of day has passed.
  private static func sleep(_ pause: Duration, now: @Sendable () -> Timestamp) {
    let due = now().secondsSinceEpoch + pause.components.seconds
    while case let left = due - now().secondsSinceEpoch, left > 0 { Pause.sleep(min(longestNap, .seconds(left))) }
  }

  /// Three quarters of what is left, at least the shortest pause.
  static func pause(now: Timestamp, end: Timestamp) -> Duration {
    max(minimumPause, .seconds((end.secondsSinceEpoch - now.secondsSinceEpoch) * 3 / 4))
  }
}
