// Unsafe by design: pools and balancer state are plain structs that the traffic path reaches through pointers.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTLS

typealias EndpointRef = UnsafeMutablePointer<PooledEndpoint>
typealias ClusterRef = UnsafeMutablePointer<ClusterState>

/// What is spoken with an endpoint.
package enum EndpointWire: UInt8, Sendable {
  case http1, http2
  /// A proxy of the mesh, or a server outside by TLS: the handshake agrees on HTTP/2, or on HTTP/1.1.
  case negotiated
  /// An application whose port declares HTTP, or nothing: HTTP/1.1, but HTTP/2 for calls of gRPC, which know no other.
  case application
}

/// One endpoint of one cluster, as one worker knows it: where it is, its idle connections, how it has been doing.
/// It outlives configurations for as long as a connection or an exchange uses it.
struct PooledEndpoint {
  /// Unique in the worker; what exchanges remember as tried.
  let id: Int32
  var address: SocketAddress
  /// Whom the connection must lead to; nil: plaintext, outside the mesh or our own application.
  var expectation: Unmanaged<TLSExpectation>?
  /// TLS towards an endpoint outside the mesh; nil: plaintext, or the mesh's own.
  var backendTLS: Unmanaged<BackendTLS>?
  var cluster: ClusterRef
  /// Position among the cluster's endpoints; -1: no longer one of them.
  var slot: Int32 = -1
  /// For metrics and logs; read when an edge is seen for the first time.
  var labels = WorkloadLabels()
  /// Number of its edge for metrics; 0: not found yet.
  var edge: UInt32 = 0
  /// Newest first: the connection used last is the one most surely alive.
  var idleHead: ConnectionRef?
  var idleCount: UInt32 = 0
  /// What is spoken with it.
  var wire = EndpointWire.application
  /// … as the configuration says; `wire` may have been learned to be less.
  var declared = EndpointWire.application
  /// The application's own port, which a tunnel to it names; 0: the address's.
  var applicationPort: UInt16?
  /// Connections that carry many streams, newest first.
  var multiplexedHead: ConnectionRef?
  /// Open connections, idle ones included.
  var connectionCount: UInt32 = 0
  /// Exchanges that were given it and have not ended.
  var exchangeCount: UInt32 = 0
  /// For resuming TLS sessions.
  var ticket: TLSTicket?
  /// Its name's number: where keys and sessions find it.
  var key: UInt64 = 0
  /// Its whole share, and since when it is there; 0: it was there from the beginning.
  var weight: UInt32 = 1
  var since: UInt64 = 0
  /// When it is next asked how it is, whether it is being asked, and what is known from before.
  var probeAt: UInt64 = 0
  var isProbed = false
  var health = HealthState()
  /// Idle time after which the endpoint has been seen to close connections, nanoseconds; `.max`: not seen.
  var learnedIdle: UInt64 = .max
}

/// One port of one service, as one worker knows it. It outlives configurations, so that what was learned and counted
/// survives a change of weights.
struct ClusterState {
  let id: Int32
  var policy = TrafficPolicy()
  var isTCP = false
  /// Which of the proxy's identities calls it.
  var identity: Int? = 0
  /// Nobody has declared what is spoken on the port.
  var isUndeclared = false
  /// … and its server has been seen to speak first.
  var serverSpeaksFirst = false
  /// Since when requests to it are looked at, so that no tunnel leads there; 0: they are not (`OldTunnels.swift`).
  var requestsSince: UInt64 = 0
  /// The service's own port, for redirects.
  var port: UInt16 = 0
  /// Number of the edge of requests that got no endpoint; 0: not found yet.
  var edge: UInt32 = 0
  /// `namespace/name`, as bytes that live as long as the cluster.
  let label: UnsafeBufferPointer<UInt8>
  /// The endpoints, position by position those of `set`.
  var endpoints: UnsafeMutablePointer<EndpointRef>
  /// What the balancer knows of them, in levels of preference.
  var levels: EndpointLevels
  /// The memory of the levels.
  var levelMemory: UnsafeMutableRawPointer
  /// Affinity and subsets; lives as long as the configuration it came with, which the worker holds.
  var balance: BalanceView
  /// Keeps the tables alive that `levels` and `balance` point at.
  var tables: Unmanaged<ClusterTables>
  var slowStart: SlowStart?
  /// Whether an endpoint has not its whole share yet.
  var isWarming = false
  /// Nil: endpoints are not asked.
  var healthCheck: HealthCheckSettings?
  /// When outlier detection next compares the endpoints.
  var reviewAt: Int64 = 0
  /// When the last request came for it; 0: none has.
  var usedAt: UInt64 = 0
  /// Exchanges that wait for a connection, oldest first.
  var waiting = ExchangeLine()
  var breaker: Breaker
  var budget: RetryBudget
  /// Asked where the policy has `concurrency`.
  var concurrency: ConcurrencyLimiter
  /// Where its endpoints are described, while nobody has asked for them, and as what; nil: they are laid out.
  var dormant: Unmanaged<CompiledConfiguration>?
  var number: Int32 = -1
  let registry: Unmanaged<EndpointRegistry>
  /// Endpoints whose memory still points here, this one's and former ones.
  var liveEndpoints = 0
  /// Configurations that name it.
  var holders: UInt32 = 0

  /// What the balancer knows of all endpoints.
  var set: EndpointSet {
    @inline(__always) get { levels.all }
    @inline(__always) _modify { yield &levels.all }
  }
}

extension Worker {
  /// Takes an idle connection of the endpoint.
  func takeIdle(_ endpoint: EndpointRef) -> ConnectionRef? {
    guard let connection = endpoint.pointee.idleHead else { return nil }
    unpool(connection)
    disarm(connection)
    connection.pointee.flags.insert(.reused)
    return connection
  }

  /// Keeps a connection for the next request, or closes it when enough are kept.
  func pool(_ connection: ConnectionRef) {
    guard let endpoint = connection.pointee.endpoint else { return kill(connection) }
    let settings = endpoint.pointee.cluster.pointee.policy.pool
    let isWorn: Bool =
      if case .atMost(let limit) = settings.maxRequestsPerConnection { connection.pointee.exchangeCount >= limit } else
      { false }
    guard !isWorn, !isDraining, endpoint.pointee.slot >= 0, endpoint.pointee.idleCount < settings.maxIdlePerEndpoint,
      connection.pointee.flags.isDisjoint(with: [.dead, .readClosed, .writeClosed, .closing]),
      connection.pointee.output.isEmpty, connection.pointee.input.isEmpty
    else { return kill(connection) }
    if let ticket = connection.pointee.tls?.takeTicket() {
      endpoint.pointee.ticket?.free()
      endpoint.pointee.ticket = ticket
    }
    connection.pointee.flags.insert(.pooled)
    connection.pointee.restingSince = now
    connection.pointee.previous = nil
    connection.pointee.next = endpoint.pointee.idleHead
    endpoint.pointee.idleHead?.pointee.previous = connection
    endpoint.pointee.idleHead = connection
    endpoint.pointee.idleCount &+= 1
    arm(connection, after: min(UInt64(max(1, settings.idleNanoseconds)), endpoint.pointee.learnedIdle))
  }

  /// Takes a connection out of its endpoint's idle list.
  func unpool(_ connection: ConnectionRef) {
    guard let endpoint = connection.pointee.endpoint else { return }
    connection.pointee.flags.remove(.pooled)
    if let previous = connection.pointee.previous {
      previous.pointee.next = connection.pointee.next
    } else {
      endpoint.pointee.idleHead = connection.pointee.next
    }
    connection.pointee.next?.pointee.previous = connection.pointee.previous
    connection.pointee.next = nil
    connection.pointee.previous = nil
    endpoint.pointee.idleCount &-= 1
  }

  /// A connection to the endpoint is gone: the next exchange that waits may open one.
  func connectionClosed(_ endpoint: EndpointRef) {
    endpoint.pointee.connectionCount &-= 1
    upstreamCount &-= 1
    endpoint.pointee.cluster.pointee.breaker.release(.connections)
    startWaiting(endpoint.pointee.cluster)
    releaseIfUnused(endpoint)
  }

  /// Closes all idle connections of an endpoint, and those that carry streams once these have ended.
  func closeIdle(_ endpoint: EndpointRef) {
    retireMultiplexed(endpoint)
    while let connection = endpoint.pointee.idleHead { kill(connection) }
  }

  /// Frees an endpoint that no configuration, connection or exchange uses any more.
  func releaseIfUnused(_ endpoint: EndpointRef) {
    guard endpoint.pointee.slot < 0, endpoint.pointee.connectionCount == 0, endpoint.pointee.exchangeCount == 0 else {
      return
    }
    endpoints.retire(endpoint)
  }
}
