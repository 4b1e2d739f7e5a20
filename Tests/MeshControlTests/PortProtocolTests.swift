import MeshControl
import MeshWire
import Testing

/// What a service's port speaks: its `appProtocol`, else the first word of its name, else nobody has said.
@Suite struct PortProtocolTests {
  private func spoken(_ port: String) throws -> AppProtocol {
    let (resource, violations) = read(service("shop", ports: "[{\(port)}]"))
    #expect(violations == [])
    let index = MeshIndex(resources: [try #require(resource)])
    let compiled = try #require(index.compile(service: ServiceName(namespace: "default", name: "shop")))
    return try #require(try ServiceConfig(protobuf: compiled.resource(for: "default").bytes).ports.first).appProtocol
  }

  @Test(
    arguments: [
      ("http", .http), ("HTTP", .http), ("http2", .http2), ("kubernetes.io/h2c", .http2), ("kubernetes.io/ws", .http),
      ("grpc", .grpc), ("grpc-web", .http), ("tcp", .tcp), ("redis", .tcp), ("tls", .tls), ("https", .tls),
      ("example.com/own", .unspecified),
    ] as [(String, AppProtocol)])
  func `appProtocol is what counts, whatever the name`(_ declared: String, _ expected: AppProtocol) throws {
    #expect(try spoken("\"port\": 80, \"appProtocol\": \"\(declared)\"") == expected)
    #expect(try spoken("\"name\": \"grpc-x\", \"port\": 80, \"appProtocol\": \"\(declared)\"") == expected)
  }

  @Test(
    arguments: [
      ("http", .http), ("http-web", .http), ("http2-x", .http2), ("grpc", .grpc), ("grpc-cart", .grpc),
      ("tcp-db", .tcp),
      ("mysql", .tcp), ("https-x", .tls), ("web", .unspecified), ("httpweb", .unspecified), ("web-http", .unspecified),
    ] as [(String, AppProtocol)])
  func `without it the name's first word tells`(_ name: String, _ expected: AppProtocol) throws {
    #expect(try spoken("\"name\": \"\(name)\", \"port\": 80") == expected)
  }

  @Test func `a port without both is not declared`() throws {
    #expect(try spoken("\"port\": 80") == .unspecified)
  }
}
