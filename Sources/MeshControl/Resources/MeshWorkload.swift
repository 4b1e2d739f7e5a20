/// One running instance of an application that has joined the mesh, as discovery knows it.
///
/// Compiling turns it into the `Workload` message that proxies receive, and finds the services it belongs to by
/// comparing `labels` with the services' selectors.
package struct MeshWorkload: Sendable, Equatable {
  /// One port of the application, and where its proxy takes in connections for it.
  package struct Port: Sendable, Equatable {
    /// Name that a service may give as `targetPort`; empty when the port has none.
    package var name: String
    /// Port that the application listens on; the number that a service gives as `targetPort`.
    package var appPort: UInt16
    /// Port on which the proxy takes in mTLS connections for `appPort`. Absent: there is no proxy, so that the
    /// application's own port is dialled without encryption.
    package var meshPort: UInt16?
    /// What the application speaks on it: `http`, `http2`, `grpc`, `tcp`; empty when it is not known.
    package var appProtocol: String

    package init(name: String = "", appPort: UInt16, meshPort: UInt16? = nil, appProtocol: String = "") {
      self.name = name
      self.appPort = appPort
      self.meshPort = meshPort
      self.appProtocol = appProtocol
    }
  }

  /// Whether the workload may be given traffic.
  package enum Health: String, Sendable, Equatable, CaseIterable {
    case healthy, unhealthy
    /// Going away: no new requests, running ones end.
    case draining
    /// Nothing has ever listened on its ports: a client, or a server that is still starting.
    case notListening
  }

  /// Unique for the life of the mesh; it names the workload in every protocol.
  package var uid: String
  /// Name for people; unique in the namespace.
  package var name: String
  package var namespace: String
  /// Service account; with the trust domain and namespace it makes the SPIFFE ID.
  package var account: String
  package var trustDomain: String
  /// What services' selectors and policies' selectors are compared with.
  package var labels: [String: String]
  /// IP address (v4 or v6, without brackets) on which the ports are reached.
  package var address: String
  package var ports: [Port]
  package var health: Health
  /// Where it runs; empty when it is not known.
  package var node: String
  package var zone: String
  /// Whether a proxy of the mesh takes in its connections. A workload without one is reached in plaintext.
  package var hasProxy: Bool
  /// Whether somebody entitled to it gave the labels. Where the workload's own proxy did, services choose it only if
  /// they let in its account, which its certificate proves.
  package var hasAttestedLabels = false

  package init(
    uid: String, name: String, namespace: String, account: String, trustDomain: String, labels: [String: String],
    address: String, ports: [Port], health: Health = .healthy, node: String = "", zone: String = "",
    hasProxy: Bool = true
  ) {
    self.uid = uid
    self.name = name
    self.namespace = namespace
    self.account = account
    self.trustDomain = trustDomain
    self.labels = labels
    self.address = address
    self.ports = ports
    self.health = health
    self.node = node
    self.zone = zone
    self.hasProxy = hasProxy
  }
}
