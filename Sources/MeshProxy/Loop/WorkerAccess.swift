// Unsafe by design: it reads what the worker owns.
internal import MeshHTTP
internal import MeshModel
internal import MeshPolicy
internal import MeshReactor
internal import MeshTelemetry
package import MeshWire

/// What a worker holds, for whoever runs one in its own thread and wants to know that nothing is left over.
package struct WorkerFigures: Equatable, Sendable {
  package var exchanges = 0
  package var downstreamConnections = 0
  package var upstreamConnections = 0
  /// Configurations that are no longer in force and still used.
  package var retiredGenerations = 0
  /// Clusters and endpoints that the registry knows.
  package var endpoints = 0
  /// Uses of endpoints, of the balancer's places, and of the breakers of all clusters.
  package var endpointUses = 0
  package var balancerUses = 0
  package var breakerUses = 0
  package var sessions = 0
  package var peers = 0
  /// The most that waits to be sent or taken at one connection or exchange, bytes.
  package var mostHeldBytes = 0

  package init() {}
}

extension Worker {
  /// A worker for a thread of the caller's, with listening descriptors in the order of `listeners`.
  /// - Throws: `SystemError` when the kernel gives no descriptors.
  package static func make(
    _ configuration: CompiledConfiguration, listeners: [(config: ListenerConfig, descriptor: Int32)],
    credentials: Credentials?, seed: UInt64
  ) throws -> Worker {
    let labels = LabelDictionary()
    var settings = ProxySettings()
    // Requests come between any two clusters of a configuration that is taken up.
    settings.adoptionSliceNanoseconds = 0
    let worker = try Worker(
      index: 0, settings: settings, configuration: configuration,
      telemetry: WorkerTelemetry(
        labels: labels, node: configuration.common.node ?? NodeIdentity(), configuration: configuration),
      labels: labels, seed: seed)
    worker.credentials = credentials
    for (index, listener) in listeners.enumerated() {
      worker.listen(ListenerState(index: Int32(index), config: listener.config), descriptor: listener.descriptor)
    }
    return worker
  }

  /// What it holds now.
  package var figures: WorkerFigures {
    var figures = WorkerFigures()
    figures.exchanges = exchangeCount
    figures.downstreamConnections = downstreamCount
    figures.upstreamConnections = upstreamCount
    figures.retiredGenerations = retired.count
    figures.peers = peers.inUse
    for cluster in endpoints.clusters {
      for kind in BreakerKind.allCases { figures.breakerUses += Int(cluster.pointee.breaker.count(kind)) }
      for index in 0..<Int(cluster.pointee.set.count) {
        figures.endpoints += 1
        figures.endpointUses += Int(cluster.pointee.endpoints[index].pointee.exchangeCount)
        figures.balancerUses += Int(cluster.pointee.set.base[index].inFlight)
      }
    }
    var session = sessionHead
    while let current = session {
      figures.sessions += 1
      figures.mostHeldBytes = max(figures.mostHeldBytes, held(current))
      session = current.pointee.next
    }
    var downstream = downstreamHead
    while let current = downstream {
      figures.mostHeldBytes = max(figures.mostHeldBytes, held(current))
      if let exchange = current.pointee.exchange {
        figures.mostHeldBytes = max(figures.mostHeldBytes, held(exchange))
        if let upstream = exchange.pointee.upstream {
          figures.mostHeldBytes = max(figures.mostHeldBytes, held(upstream))
        }
      }
      downstream = current.pointee.next
    }
    return figures
  }

  private func held(_ connection: ConnectionRef) -> Int {
    max(connection.pointee.input.count, connection.pointee.output.count)
  }

  private func held(_ exchange: ExchangeRef) -> Int {
    max(exchange.pointee.request.count, exchange.pointee.toUpstream.count, exchange.pointee.toDownstream.count)
  }

  private func held(_ session: HTTP2SessionRef) -> Int {
    var most = max(held(session.pointee.connection), session.pointee.codec.pendingOutput.count)
    var index = 0
    while let (stream, next) = session.pointee.codec.openStream(from: index) {
      index = next
      if let exchange = exchange(session, stream) { most = max(most, held(exchange)) }
    }
    return most
  }
}
