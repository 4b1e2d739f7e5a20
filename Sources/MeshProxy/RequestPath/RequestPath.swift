/// The life of a request, stage by stage. Each stage is one file of this folder and calls the next; everything runs on
/// the worker's thread, and a stage that has to wait leaves the exchange where an event or a timer picks it up.
///
///     accept      Accept.swift           a connection comes in on a listener
///     handshake   Handshake.swift        mTLS inbound; the peer's identity becomes known
///     receive     ReceiveRequest.swift   a head is parsed to offsets; body bytes follow it
///     route       Route.swift            listener or authority → service; rule; backend; deadlines
///     admit       Admit.swift            rate limits and injected faults, before anything is spent on the request
///     write       WriteRequest.swift     the head as it goes upstream: hop-by-hop fields, edits, identity, tracing
///     balance     Balance.swift          limits; which endpoint
///     connect     Connect.swift          an idle connection or a new one; handshake with the expected identity
///     forward     ForwardRequest.swift   head and body go out, kept for a repetition as long as that is possible
///     respond     ForwardResponse.swift  the answer's head and body go back
///     retry       Retry.swift            what happens when an attempt fails: again, or an answer of our own
///     stream      RouteStream.swift      a connection of bytes as they are: TCPRoute, or TLSRoute by the server name
///     reply       LocalReply.swift       answers that the mesh makes itself, with their reason
///     record      Record.swift           metrics, access log, balancer and outlier feedback
///
/// `Tunnel.swift` is the path of bytes that are not HTTP: TCP services, CONNECT, accepted upgrades.
/// Outbound and inbound traffic take the same stages; they differ in what `Route` looks at and which connections are
/// encrypted.
enum RequestPath {
  /// Time to the first byte of a response where no timeout is configured.
  static let responseTimeout: UInt64 = 15_000_000_000
  /// What each `--limit body-seconds` of a request's body must bring at least.
  static let minimumBodyBytes: UInt64 = 64
  /// How long a tunnel may go on to a service whose requests have come to be looked at.
  static let tunnelGrace: UInt64 = 5_000_000_000
  /// How often metrics are told of what passes on a connection that stays open; Istio's is the same.
  static let tellingInterval: UInt64 = 5_000_000_000
  /// Most of a request that is kept to be sent again.
  static let replayLimit = 64 * 1024
}
