import MeshModel
import MeshPolicy
import Testing

@Suite struct CrossOriginTests {
  private func policyTable(_ cors: CORSPolicy) throws -> RouteTable {
    var rule = rule("r", [])
    rule.cors = cors
    return try table([rule])
  }

  /// The fields of the answer to a preflight request, by name; nil where the request is none.
  private func preflight(
    _ cors: CORSPolicy, origin: String?, method: String? = "GET", headers: String? = nil, as verb: Method = .options
  ) throws -> [String: String]? {
    var fields: [(String, String)] = []
    if let origin { fields.append(("Origin", origin)) }
    if let method { fields.append(("Access-Control-Request-Method", method)) }
    if let headers { fields.append(("access-control-request-headers", headers)) }
    let table = try policyTable(cors)
    let fixture = HeadFixture("/", method: verb, headers: fields)
    defer { keep(table, fixture) }
    guard table.view.corsRequest(fixture.head) == .preflight else { return nil }
    return parse(written { table.view.writePreflight(table.view.sharing[0], fixture.head, into: &$0) })
  }

  private func shared(_ cors: CORSPolicy, origin: String) throws -> [String: String] {
    let table = try policyTable(cors)
    defer { keep(table) }
    return parse(
      written { writer in
        Array(origin.utf8).withUnsafeBufferPointer {
          table.view.writeShared(table.view.sharing[0], origin: $0, into: &writer)
        }
      })
  }

  private func parse(_ text: String?) -> [String: String] {
    let lines = (text ?? "").split(separator: "\r\n")
    return Dictionary(
      uniqueKeysWithValues: lines.map { line in
        let parts = line.split(separator: ":", maxSplits: 1).map { $0.drop { $0 == " " } }
        return (String(parts[0]), String(parts.count > 1 ? parts[1] : ""))
      })
  }

  private let full = CORSPolicy(
    origins: [CORSOrigin("https://www.foo.com"), CORSOrigin("https://*.bar.com"), CORSOrigin("http://*:8080")],
    methods: ["GET", "OPTIONS"], headers: ["x-header-1", "x-header-2"], exposed: ["x-header-3", "x-header-4"],
    allowsCredentials: true, maxAgeSeconds: 3600)

  @Test(arguments: [
    "https://www.foo.com", "https://WWW.foo.com", "https://www.foo.com:443", "https://a.bar.com", "https://a.b.bar.com",
    "http://anything:8080", "http://[::1]:8080",
  ])
  func `an origin that is allowed gets everything`(origin: String) throws {
    let fields = try #require(try preflight(full, origin: origin, headers: "x-header-1"))
    #expect(fields["access-control-allow-origin"] == origin)
    #expect(fields["access-control-allow-methods"] == "GET, OPTIONS")
    #expect(fields["access-control-allow-headers"] == "x-header-1, x-header-2")
    #expect(fields["access-control-expose-headers"] == "x-header-3, x-header-4")
    #expect(fields["access-control-allow-credentials"] == "true")
    #expect(fields["access-control-max-age"] == "3600")
    #expect(fields["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    let answer = try shared(full, origin: origin)
    #expect(answer["access-control-allow-origin"] == origin)
    #expect(answer["access-control-expose-headers"] == "x-header-3, x-header-4")
    #expect(answer["access-control-allow-methods"] == nil)
  }

  @Test(arguments: [
    "http://www.foo.com", "https://foo.com", "https://www.foo.com:444", "https://www.foo.com.evil.org",
    "https://bar.com",
    "https://evilbar.com", "http://a", "http://a:80800", "null", "", "https://", "http://:8080", "https://a.bar.com:",
  ])
  func `an origin that is not allowed gets no permission`(origin: String) throws {
    let fields = try #require(try preflight(full, origin: origin))
    #expect(Set(fields.keys) == ["vary"], "\(fields)")
    #expect(Set(try shared(full, origin: origin).keys) == ["vary"])
  }

  @Test func `only OPTIONS with an origin and a method is a preflight request`() throws {
    #expect(try preflight(full, origin: nil) == nil)
    #expect(try preflight(full, origin: "https://www.foo.com", method: nil) == nil)
    #expect(try preflight(full, origin: "https://www.foo.com", as: .get) == nil)
  }

  @Test func `wildcards without credentials`() throws {
    let all = CORSPolicy(origins: [CORSOrigin("*")], methods: ["*"], headers: ["*"], exposed: ["*"])
    let fields = try #require(try preflight(all, origin: "null", method: "PATCH", headers: "x-a, authorization"))
    #expect(fields["access-control-allow-origin"] == "*")
    #expect(fields["access-control-allow-methods"] == "PATCH")
    #expect(fields["access-control-allow-headers"] == "x-a, authorization")
    #expect(fields["access-control-expose-headers"] == "*")
    #expect(fields["access-control-allow-credentials"] == nil)
    #expect(fields["access-control-max-age"] == "5")
    #expect(
      try shared(all, origin: "https://a") == [
        "access-control-allow-origin": "*", "access-control-expose-headers": "*",
      ])
  }

  @Test func `wildcards with credentials name what was asked for`() throws {
    let all = CORSPolicy(
      origins: [CORSOrigin("*")], methods: ["*"], headers: ["*"], exposed: ["*"], allowsCredentials: true)
    let fields = try #require(try preflight(all, origin: "https://a", method: "PUT"))
    #expect(fields["access-control-allow-origin"] == "https://a")
    #expect(fields["access-control-allow-methods"] == "PUT")
    #expect(fields["access-control-allow-headers"] == nil)
    #expect(fields["access-control-expose-headers"] == nil)
    #expect(try shared(all, origin: "https://a")["vary"] == "Origin")
  }

  @Test func `nothing configured allows nobody`() throws {
    #expect(try preflight(CORSPolicy(origins: []), origin: "https://a")?.keys.sorted() == ["vary"])
  }

  @Test func `what an endpoint says on sharing is taken out`() throws {
    let table = try policyTable(full)
    defer { keep(table) }
    let edit = try #require(table.view.backends[0].responseEdit)
    let names = table.view.edits[Int(edit)].droppedNames
    let dropped = (names.start..<names.start + names.count).map {
      String(decoding: table.view.text(table.view.droppedNames[Int($0)]), as: UTF8.self)
    }
    #expect(dropped.contains("access-control-allow-origin") && dropped.contains("access-control-expose-headers"))
  }

  @Test func `texts that would break out of a field are refused`() {
    var bad = rule("r", [])
    bad.cors = CORSPolicy(
      origins: [CORSOrigin("https://a\r\nx: y")], methods: ["G ET"], headers: [""], exposed: ["a\nb"])
    #expect(throws: RouteTableError.self) { try table([bad]) }
    #expect(bad.violations(at: "r").count == 4)
  }
}
