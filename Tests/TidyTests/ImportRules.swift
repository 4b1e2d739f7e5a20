/// Which modules each target may import. Arrows point downward only; what a target must not know is not in its row.
enum ImportRules {
  /// The C library under its two names.
  private static let libc: Set<String> = ["Glibc", "Musl"]
  private static let foundation: Set<String> = ["Foundation", "FoundationEssentials"]

  static let allowed: [String: Set<String>] = [
    "MeshModel": [],
    "MeshWire": ["MeshModel"],
    "MeshPolicy": Set(["MeshModel"]).union(libc),
    "MeshHTTP": Set(["MeshModel"]).union(libc),
    "MeshReactor": Set(["CMeshSystem", "Synchronization"]).union(libc),
    "MeshTLS": Set(["MeshModel", "CNIOBoringSSL", "Synchronization"]).union(libc),
    "MeshTelemetry": Set(["MeshModel", "MeshWire", "Synchronization"]).union(libc),
    "MeshProxy": Set([
      "MeshModel", "MeshWire", "MeshPolicy", "MeshHTTP", "MeshReactor", "MeshTLS", "MeshTelemetry", "CMeshSystem",
      "Synchronization",
    ]).union(libc),
    "apus-proxy": Set(["MeshProxy", "MeshModel", "MeshWire", "MeshReactor"]).union(libc),
    "apus-proxy-counted": Set(["MeshProxy", "MeshModel", "MeshWire", "MeshReactor"]).union(libc),
    "MeshSimulation": Set([
      "CMeshSystem", "MeshModel", "MeshWire", "MeshPolicy", "MeshHTTP", "MeshReactor", "MeshTLS", "MeshProxy",
    ]).union(libc),
    "apus-simulate": Set(["MeshSimulation"]).union(libc),
    "apus-history": Set(["MeshControl", "MeshWire"]).union(libc),
    "MeshIdentity": Set([
      "MeshModel", "X509", "Crypto", "_CryptoExtras", "CryptoExtras", "SwiftASN1", "Synchronization",
    ])
    .union(foundation),
    "MeshControl": Set(["MeshModel", "MeshPolicy", "MeshTelemetry", "MeshWire", "Logging", "Synchronization"])
      .union(foundation),
    "MeshStore": Set(["MeshControl", "MeshModel", "GRDB", "Logging", "Synchronization"]).union(foundation),
    "MeshXDS": Set([
      "MeshControl", "MeshIdentity", "MeshModel", "MeshWire", "GRPCCore", "GRPCNIOTransportHTTP2",
      "GRPCNIOTransportHTTP2Posix", "GRPCNIOTransportCore", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS", "X509",
      "SwiftASN1", "Crypto", "Logging", "Synchronization",
    ]).union(foundation),
    "MeshAPI": Set([
      "CDashboard", "Synchronization", "MeshControl", "MeshModel", "Hummingbird", "HTTPTypes", "NIOCore", "Yams",
      "CYaml", "Logging",
      "AsyncAlgorithms", "ServiceLifecycle",
    ]).union(foundation),
    "ApusHTTP": Set(["CApusSystem", "Synchronization"]).union(libc),
    "ApusCLI": Set(["ApusHTTP", "CApusSystem", "MeshControl", "ArgumentParser", "Synchronization"])
      .union(foundation).union(libc),
    "MeshDemo": Set(["ApusHTTP", "Synchronization"]).union(libc),
    "MeshServer": Set([
      "MeshAPI", "MeshControl", "MeshIdentity", "MeshModel", "MeshStore", "MeshXDS", "Logging", "NIOCore", "NIOHTTP1",
      "NIOPosix", "NIOSSL", "ServiceLifecycle", "Synchronization",
      // Changes are evaluated with the data plane's own matcher.
      "MeshProxy", "MeshWire",
      // Names are looked up by the C library's resolver.
      "CApusSystem",
    ]).union(foundation),
    "apus": Set(["ApusCLI", "ApusHTTP", "MeshAPI", "MeshControl", "MeshModel", "MeshServer"]).union(libc),
    "apus-demo": Set(["ApusHTTP", "MeshDemo", "ArgumentParser", "Synchronization"]).union(foundation).union(libc),
  ]

  /// Targets of the traffic path: no Foundation, no event loop but their own.
  static let dataPlane: Set<String> = [
    "MeshModel", "MeshWire", "MeshPolicy", "MeshHTTP", "MeshReactor", "MeshTLS", "MeshTelemetry", "MeshProxy",
    "apus-proxy", "apus-proxy-counted",
  ]

  static func check(_ source: SourceText) -> [Violation] {
    let target = Repository.target(of: source.path)
    return imports(in: source).compactMap { module, line in
      guard let row = allowed[target] else {
        return Violation(
          path: source.path, line: line,
          message: "target `\(target)` has no row in ImportRules: add one that says what it may know")
      }
      guard !row.contains(module) else { return nil }
      let permitted = row.isEmpty ? "the standard library only" : row.sorted().joined(separator: ", ")
      return Violation(
        path: source.path, line: line, message: "`\(target)` must not import \(module); it may import \(permitted)")
    }
  }

  /// The modules a file imports, with their lines. `import struct A.B` counts as A.
  static func imports(in source: SourceText) -> [(module: String, line: Int)] {
    source.positions(of: "import").compactMap { start in
      let line = source.line(at: start)
      let rest = source.code[(start + 6)...].prefix { $0 != UInt8(ascii: "\n") }
      let words = String(decoding: rest, as: UTF8.self).split(separator: " ")
      let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
      guard let name = words.first(where: { !kinds.contains($0) }) else { return nil }
      return (String(name.split(separator: ".").first ?? name), line)
    }
  }
}
