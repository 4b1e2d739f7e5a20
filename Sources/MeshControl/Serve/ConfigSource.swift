/// The types of configuration that proxies subscribe to, one xDS type each.
package enum ConfigType: String, Sendable, Hashable, CaseIterable {
  case serviceConfig = "type.googleapis.com/apus.v1.ServiceConfig"
  case workload = "type.googleapis.com/apus.v1.Workload"
  case proxyConfig = "type.googleapis.com/apus.v1.ProxyConfig"
  case trustBundle = "type.googleapis.com/apus.v1.TrustBundle"

  /// The type URL as it stands in discovery requests and responses.
  package var typeURL: String { rawValue }

  /// The type with this URL; nil for a type that this control plane does not serve.
  package init?(typeURL: String) {
    self.init(rawValue: typeURL)
  }
}

/// One piece of configuration, ready to be sent.
package struct ConfigResource: Sendable, Equatable {
  /// `namespace/service` for a service, the uid for a workload, `self` for the proxy's own configuration.
  package let name: String
  /// Hash of `bytes`: equal content has equal versions, so that what has not changed is never sent again.
  package let version: String
  /// The message in protobuf, without an `Any` around it.
  package let bytes: [UInt8]

  package init(name: String, bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
    self.version = ContentHash.hex(of: bytes)
  }
}

/// Who asks for configuration, as the certificate and the proxy's node say.
package struct ProxyDescription: Sendable, Hashable {
  /// The uid of the proxy's workload.
  package var workload: String
  /// Namespace of the workload; consumer routes are those of this namespace.
  package var namespace: String
  /// Service account of the workload.
  package var account: String
  /// Labels by which policies select the workload; used while discovery does not know the workload yet.
  package var labels: [String: String]

  package init(workload: String, namespace: String, account: String, labels: [String: String]) {
    self.workload = workload
    self.namespace = namespace
    self.account = account
    self.labels = labels
  }
}

/// All configuration meant for one proxy at one moment.
package struct ConfigView: Sendable {
  /// Grows with every change of the mesh; two views of one revision for one proxy are the same.
  package let revision: UInt64
  /// Resources by name, per type. A type without resources may be absent.
  package let resources: [ConfigType: [String: ConfigResource]]

  package init(revision: UInt64, resources: [ConfigType: [String: ConfigResource]]) {
    self.revision = revision
    self.resources = resources
  }
}

/// Where the xDS server takes configuration from.
package protocol ConfigSource: Sendable {
  /// What this proxy is to have now.
  func view(for proxy: ProxyDescription) async -> ConfigView
  /// Yields the revision after each change. Only the newest is kept for a slow reader, so that a burst of changes
  /// costs one new view.
  func revisions() async -> AsyncStream<UInt64>
}
