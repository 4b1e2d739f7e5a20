// Unsafe by design: host names are looked up where the traffic path does it.
internal import MeshReactor
internal import MeshTLS
internal import MeshTelemetry
internal import MeshWire

/// Where a connection to a collector leads.
struct ExportTarget {
  var address: SocketAddress
  /// Nil: plaintext.
  var context: TLSContext?
  var expectation: TLSExpectation?
  /// What requests name as their host.
  var authority: String
  var path: String
}

/// Why there is no target, in words.
struct ExportFault: Error {
  var message: String
}

extension Proxy {
  /// Finds a collector: at a numeric address, on this host, or as a service of the mesh, whose endpoints are asked in turn.
  ///
  /// - Parameter turn: which of several endpoints.
  func exportTarget(_ config: ExporterConfig, turn: Int) throws(ExportFault) -> ExportTarget {
    let endpoint: OTLPEndpoint
    do throws(OTLPEndpoint.Fault) {
      endpoint = try OTLPEndpoint(config.endpoint)
    } catch {
      throw ExportFault(message: "\(config.endpoint) \(error.message)")
    }
    let isStream = config.exportProtocol == .grpc
    let port = endpoint.port ?? (isStream ? 4317 : 4318)
    let isBracketed = endpoint.host.contains(":")
    let authority = isBracketed ? "[\(endpoint.host)]:\(port)" : "\(endpoint.host):\(port)"
    let numeric = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host
    if let address = SocketAddress(address: numeric, port: port) {
      return ExportTarget(
        address: address, context: nil, expectation: nil, authority: authority, path: endpoint.path)
    }
    let number = Array(authority.utf8).withUnsafeBufferPointer {
      configuration.hosts.view.pointee.cluster(authority: $0, isConnect: true)
    }
    guard let number, number >= 0, Int(number) < configuration.clusters.count else {
      throw ExportFault(message: "\(authority) is no address, and no service of the mesh has that name and port")
    }
    let usable = configuration.clusters[Int(number)].endpoints.filter(\.isUsable)
    guard !usable.isEmpty else { throw ExportFault(message: "the service \(authority) has no healthy endpoint") }
    let chosen = usable[abs(turn % usable.count)]
    var context: TLSContext?
    if chosen.expectation != nil {
      guard let credentials else {
        throw ExportFault(message: "there is no certificate yet to reach \(authority) with")
      }
      context = isStream ? credentials.streams : credentials.http
    } else if let outside = chosen.backendTLS {
      guard let found = outside.context(isStream ? .upstreamHTTP2 : .upstreamHTTP1) else {
        throw ExportFault(message: "the BackendTLSPolicy of \(authority) cannot be used")
      }
      context = found
    }
    return ExportTarget(
      address: chosen.address, context: context, expectation: chosen.expectation, authority: authority,
      path: endpoint.path)
  }
}
