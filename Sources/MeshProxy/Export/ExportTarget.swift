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
  /// All that the host's name stands for now; empty where it is no name, or one of the mesh.
  var alternatives: [SocketAddress] = []

  /// Whether a connection to `former` leads where this does.
  func isServed(by former: SocketAddress?) -> Bool {
    guard !alternatives.isEmpty, let former else { return true }
    return alternatives.contains { $0.sameHost(as: former) }
  }
}

/// Why there is no target, in words.
struct ExportFault: Error {
  var message: String
}

/// A target, or the name that must be looked up for it.
enum ExportPlace {
  case target(ExportTarget)
  /// With the port to be put into each address.
  case name(String, ExportTarget)
}

/// What a collector's certificate is verified with, where the endpoint says `https`.
struct ExportTrust {
  private let made: BackendTLS

  /// - Throws: why nothing can be verified: a file that cannot be read, or that has no certificates.
  init(_ config: ExporterConfig, host: String) throws(ExportFault) {
    var source = BackendTLSConfig()
    source.hostname = host
    source.usesSystemAuthorities = config.caFile.isEmpty
    if !config.caFile.isEmpty {
      do throws(WireError) {
        source.authorities = String(decoding: try Files.read(config.caFile), as: UTF8.self)
      } catch {
        throw ExportFault(message: "caFile \(config.caFile): \(error)")
      }
    }
    made = BackendTLS(source, systemAuthorities: SystemAuthorities.read)
    guard made.context(.upstreamHTTP2) != nil else {
      let place = config.caFile.isEmpty ? "the system" : config.caFile
      throw ExportFault(message: "\(place) has no certificate of an authority to verify \(host) with")
    }
  }

  func context(isStream: Bool) -> TLSContext? { made.context(isStream ? .upstreamHTTP2 : .upstreamHTTP1) }
}

extension Proxy {
  /// Finds a collector: at a numeric address, on this host, as a service of the mesh, whose endpoints are asked in turn, or
  /// under a name that the system knows.
  ///
  /// - Parameters:
  ///   - turn: which of several endpoints.
  ///   - trust: for `https`.
  func exportPlace(
    _ config: ExporterConfig, _ endpoint: OTLPEndpoint, turn: Int, trust: ExportTrust?
  ) throws(ExportFault) -> ExportPlace {
    let isStream = config.exportProtocol == .grpc
    let port = endpoint.port ?? (isStream ? 4317 : 4318)
    let isBracketed = endpoint.host.contains(":")
    let authority = isBracketed ? "[\(endpoint.host)]:\(port)" : "\(endpoint.host):\(port)"
    let numeric = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host
    let nowhere = SocketAddress(family: 0, bytes: (0, 0), port: port)
    var target = ExportTarget(
      address: nowhere, context: trust?.context(isStream: isStream), expectation: nil, authority: authority,
      path: endpoint.path)
    if let address = SocketAddress(address: numeric, port: port) {
      target.address = address
      return .target(target)
    }
    let number = Array(authority.utf8).withUnsafeBufferPointer {
      configuration.hosts.view.pointee.cluster(authority: $0, isConnect: true)
    }
    guard let number, number >= 0, Int(number) < configuration.clusters.count else {
      return .name(endpoint.host, target)
    }
    let usable = configuration.clusters[Int(number)].endpoints.filter(\.isUsable)
    guard !usable.isEmpty else { throw ExportFault(message: "the service \(authority) has no healthy endpoint") }
    let chosen = usable[abs(turn % usable.count)]
    target.address = chosen.address
    if chosen.expectation != nil {
      guard let credentials else {
        throw ExportFault(message: "there is no certificate yet to reach \(authority) with")
      }
      target.context = isStream ? credentials.streams : credentials.http
      target.expectation = chosen.expectation
    } else if trust == nil, let outside = chosen.backendTLS {
      guard let found = outside.context(isStream ? .upstreamHTTP2 : .upstreamHTTP1) else {
        throw ExportFault(message: "the BackendTLSPolicy of \(authority) cannot be used")
      }
      target.context = found
    }
    return .target(target)
  }
}
