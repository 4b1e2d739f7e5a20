import Foundation
import GRPCCore
package import MeshControl
package import MeshIdentity
import MeshModel
package import NIOCore
import SwiftASN1
import X509

/// The gRPC server of the control plane: discovery, certificates and registration on one port.
package final class XDSServer: Sendable {
  /// What the server needs from the rest of the control plane.
  package struct Dependencies: Sendable {
    package var source: any ConfigSource
    package var registry: WorkloadRegistry
    package var directory: ConnectedProxies
    package var statistics: any StatisticsSink
    package var questions: ProxyQuestions
    package var quotas: QuotaService?
    package var authority: LivingAuthority
    /// Life of a workload's certificate whose request wishes none, seconds.
    package var certificateLifeSeconds: Int64
    /// Seconds since 1970.
    package var now: @Sendable () -> Int64

    package init(
      source: any ConfigSource, registry: WorkloadRegistry, directory: ConnectedProxies,
      statistics: any StatisticsSink, questions: ProxyQuestions = ProxyQuestions(), quotas: QuotaService? = nil,
      authority: LivingAuthority,
      certificateLifeSeconds: Int64 = CertificateAuthority.standardLifeSeconds, now: @escaping @Sendable () -> Int64
    ) {
      self.source = source
      self.registry = registry
      self.directory = directory
      self.statistics = statistics
      self.questions = questions
      self.quotas = quotas
      self.authority = authority
      self.certificateLifeSeconds = certificateLifeSeconds
      self.now = now
    }
  }

  /// Life of the server's own certificate, seconds. It is replaced at half of it, with connections left alone.
  package static let ownLifeSeconds: Int64 = 24 * 3600

  private let dependencies: Dependencies
  private let identity: SPIFFEID
  private let credentials: ServerCredentials
  private let transport: MeshServerTransport
  private let server: GRPCServer<MeshServerTransport>

  /// - Parameters:
  ///   - host: the address to listen on.
  ///   - port: the port; 0 takes a free one.
  /// - Throws: if the authority cannot make the server's certificate.
  package init(host: String, port: Int, dependencies: Dependencies, eventLoopGroup: any EventLoopGroup) throws {
    self.dependencies = dependencies
    let authority = dependencies.authority.current
    identity = try SPIFFEID(trustDomain: authority.trustDomain, namespace: "apus-system", account: "apus")
    let own = try Self.makeCertificate(authority, identity: identity, nowSeconds: dependencies.now())
    let roots = try PEMDocument.parseMultiple(pemString: authority.bundlePEM).map { try Certificate(pemDocument: $0) }
    credentials = try ServerCredentials(
      chainPEM: [own.certificate.chainPEM], keyPEM: own.privateKeyPEM,
      verifier: PeerVerifier(roots: roots, trustDomain: authority.trustDomain))
    transport = MeshServerTransport(
      host: host, port: port, credentials: credentials, eventLoopGroup: eventLoopGroup)
    let issuer = MeshAuthority(
      authority: dependencies.authority, standardLifeSeconds: dependencies.certificateLifeSeconds, now: dependencies.now
    )
    server = GRPCServer(
      transport: transport,
      services: [
        DiscoveryService(
          source: dependencies.source, registry: dependencies.registry, directory: dependencies.directory,
          now: dependencies.now),
        CertificateService(issuer: issuer, tokens: issuer, now: dependencies.now),
        WorkloadService(
          registry: dependencies.registry, statistics: dependencies.statistics, directory: dependencies.directory,
          questions: dependencies.questions, quotas: dependencies.quotas, now: dependencies.now),
      ])
  }

  /// The port that is listened on, once it is; nil if listening has failed.
  package var boundPort: Int? {
    get async { await transport.boundPort }
  }

  /// Serves until the task is cancelled. Streams are cut then; proxies keep what they have and reconnect.
  package func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.server.serve() }
      group.addTask { try await self.renewCertificate() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// How often it is looked whether the server's certificate is due. Timers may stand still while a machine is suspended;
  /// the time of day does not, and it is what certificates end by.
  private static let renewalLook = Duration.seconds(10)

  /// Replaces the server's certificate at half of its life. A failure leaves the one there is; it is tried again.
  private func renewCertificate() async throws {
    var due = dependencies.now() + Self.ownLifeSeconds / 2
    while true {
      try await Task.sleep(for: Self.renewalLook)
      let now = dependencies.now()
      guard now >= due else { continue }
      do {
        let own = try Self.makeCertificate(dependencies.authority.current, identity: identity, nowSeconds: now)
        try credentials.replace(chainPEM: [own.certificate.chainPEM], keyPEM: own.privateKeyPEM)
        due = now + Self.ownLifeSeconds / 2
      } catch {
        due = now + 60
      }
    }
  }

  private static func makeCertificate(
    _ authority: CertificateAuthority, identity: SPIFFEID, nowSeconds: Int64
  ) throws -> OwnCertificate {
    // A client that checks host names dials a name; one of the mesh checks the SPIFFE ID.
    let names = ["localhost", "apus.apus-system.svc", "apus.apus-system.svc.cluster.local"]
    return try authority.issueOwn(
      identity: identity, dnsNames: names, lifeSeconds: ownLifeSeconds, nowSeconds: nowSeconds)
  }
}
