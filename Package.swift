// swift-tools-version: 6.1
import PackageDescription

/// Settings every Swift target shares: language mode 6 with the upcoming features the house style asks for.
let common: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// The programs carry the Swift runtime with them, so that they start fast and run where no toolchain is. Nothing looks
/// up their symbols while they run, so the table for that (a tenth of the file) is left out.
let standalone: [LinkerSetting] = [
  .unsafeFlags(["-static-stdlib", "-Xlinker", "--no-export-dynamic"], .when(platforms: [.linux]))
]

/// The programs that use Foundation: its static libraries need each other in this order, and are named here because the
/// targets are compiled for the shared ones, which bring theirs along.
let withFoundation: [LinkerSetting] =
  standalone + [
    .unsafeFlags(
      [
        "-lFoundation", "-lFoundationInternationalization", "-lFoundationEssentials", "-l_FoundationCollections",
        "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-lstdc++",
      ], .when(platforms: [.linux]))
  ]

/// The proxy in addition leaves out what it never calls of the packages that bring its TLS library: 14.7 MB become 8.5.
let lean: [LinkerSetting] =
  standalone + [.unsafeFlags(["-ld-path=\(Context.packageDirectory)/Scripts/lean-link"], .when(platforms: [.linux]))]

let grpc: [Target.Dependency] = [
  .product(name: "GRPCCore", package: "grpc-swift-2"),
  .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
]

let package = Package(
  name: "apus",
  products: [
    .executable(name: "apus", targets: ["apus"]),
    .executable(name: "apus-proxy", targets: ["apus-proxy"]),
    .executable(name: "apus-demo", targets: ["apus-demo"]),
  ],
  dependencies: [
    // The TLS library of the data plane. CNIOBoringSSL is not a declared product: the version is pinned exactly.
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-asn1", from: "1.0.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // Layer 0: the nouns, and what goes over the wire.
    .target(name: "MeshModel", swiftSettings: common),
    .target(name: "MeshWire", swiftSettings: common),
    // Layer 1: one idea each.
    .target(name: "CMeshSystem"),
    .target(name: "MeshPolicy", dependencies: ["MeshModel"], swiftSettings: common),
    .target(name: "MeshHTTP", dependencies: ["MeshModel"], swiftSettings: common),
    .target(name: "MeshReactor", dependencies: ["CMeshSystem"], swiftSettings: common),
    .target(
      name: "MeshTLS", dependencies: ["MeshModel", .product(name: "NIOSSL", package: "swift-nio-ssl")],
      swiftSettings: common),
    .target(name: "MeshTelemetry", dependencies: ["MeshModel", "MeshWire"], swiftSettings: common),
    .target(
      name: "MeshIdentity",
      dependencies: [
        "MeshModel",
        .product(name: "X509", package: "swift-certificates"),
        .product(name: "Crypto", package: "swift-crypto"),
      ], swiftSettings: common),
    // Layer 2: the data path, the control plane, and the leaves that carry heavy dependencies.
    .target(
      name: "MeshProxy",
      dependencies: [
        "CMeshSystem", "MeshModel", "MeshWire", "MeshPolicy", "MeshHTTP", "MeshReactor", "MeshTLS", "MeshTelemetry",
      ],
      swiftSettings: common),
    .target(
      name: "MeshControl", dependencies: ["MeshModel", "MeshPolicy", "MeshTelemetry", "MeshWire"],
      swiftSettings: common),
    .target(
      name: "MeshStore", dependencies: ["MeshControl", .product(name: "GRDB", package: "GRDB.swift")],
      swiftSettings: common),
    .target(
      name: "MeshXDS",
      dependencies: [
        "MeshControl", "MeshIdentity", "MeshModel", "MeshWire",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
      ] + grpc, swiftSettings: common),
    // The dashboard's files, as they are.
    .target(name: "CDashboard", exclude: ["Files"]),
    .target(
      name: "MeshAPI",
      dependencies: [
        "CDashboard", "MeshControl",
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "Yams", package: "Yams"),
      ], swiftSettings: common),
    // The control plane put together.
    .target(
      name: "MeshServer",
      dependencies: [
        "CApusSystem", "MeshAPI", "MeshControl", "MeshIdentity", "MeshModel", "MeshProxy", "MeshStore", "MeshWire",
        "MeshXDS",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ], swiftSettings: common),
    .testTarget(name: "MeshWireTests", dependencies: ["MeshWire"], swiftSettings: common),
    .testTarget(name: "MeshReactorTests", dependencies: ["MeshReactor"], swiftSettings: common),
    // The command line, without the control plane: it builds in seconds.
    .target(name: "CApusSystem", linkerSettings: [.linkedLibrary("resolv", .when(platforms: [.linux]))]),
    .target(name: "ApusHTTP", dependencies: ["CApusSystem"], swiftSettings: common),
    .target(
      name: "ApusCLI",
      dependencies: [
        "ApusHTTP", "CApusSystem", "MeshControl",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: common),
    .target(name: "MeshDemo", dependencies: ["ApusHTTP"], swiftSettings: common),
    // Layer 3: the programs.
    .executableTarget(
      name: "apus-proxy", dependencies: ["MeshProxy"], swiftSettings: common, linkerSettings: lean),
    // The same program on the dynamic Swift runtime, where a preloaded library can count retains (Benchmarks/alloc-gate).
    .executableTarget(name: "apus-proxy-counted", dependencies: ["MeshProxy"], swiftSettings: common),
    // The data path in virtual time: no program carries it.
    .target(
      name: "MeshSimulation",
      dependencies: [
        "CMeshSystem", "MeshModel", "MeshWire", "MeshPolicy", "MeshHTTP", "MeshReactor", "MeshTLS", "MeshProxy",
      ],
      swiftSettings: common),
    .executableTarget(name: "apus-simulate", dependencies: ["MeshSimulation"], swiftSettings: common),
    // What an hour of statistics takes: `make bench-seeing`.
    .executableTarget(name: "apus-history", dependencies: ["MeshControl", "MeshWire"], swiftSettings: common),
    .executableTarget(
      name: "apus",
      dependencies: [
        "ApusCLI", "ApusHTTP", "MeshAPI", "MeshControl", "MeshModel", "MeshServer",
      ], swiftSettings: common, linkerSettings: withFoundation),
    .executableTarget(
      name: "apus-demo",
      dependencies: [
        "MeshDemo", "ApusHTTP", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: common, linkerSettings: withFoundation),
    // Tests.
    .testTarget(name: "MeshModelTests", dependencies: ["MeshModel"], swiftSettings: common),
    .testTarget(name: "MeshTLSTests", dependencies: ["MeshTLS", "MeshModel"], swiftSettings: common),
    .testTarget(name: "MeshIdentityTests", dependencies: ["MeshIdentity", "MeshModel"], swiftSettings: common),
    .testTarget(
      name: "MeshControlTests", dependencies: ["MeshControl", "MeshModel", "MeshPolicy", "MeshWire"],
      exclude: ["Golden"],
      swiftSettings: common),
    .testTarget(name: "MeshStoreTests", dependencies: ["MeshStore", "MeshControl"], swiftSettings: common),
    .testTarget(
      name: "MeshAPITests",
      dependencies: ["MeshAPI", "MeshControl", "MeshStore", .product(name: "Hummingbird", package: "hummingbird")],
      swiftSettings: common),
    .testTarget(
      name: "ApusCLITests", dependencies: ["ApusCLI", "ApusHTTP", "MeshControl", "MeshDemo"],
      swiftSettings: common),
    .testTarget(
      name: "MeshDiscoveryTests", dependencies: ["MeshControl", "MeshModel", "MeshWire"], swiftSettings: common),
    .testTarget(
      name: "MeshStatsTests", dependencies: ["MeshControl", "MeshTelemetry", "MeshWire"], swiftSettings: common),
    .testTarget(
      name: "MeshRolloutTests", dependencies: ["MeshControl", "MeshTelemetry", "MeshWire"], swiftSettings: common),
    .testTarget(name: "MeshServerTests", dependencies: ["MeshServer", "MeshModel"], swiftSettings: common),
    .testTarget(name: "ProtoTests", dependencies: ["MeshWire"], swiftSettings: common),
    .testTarget(
      name: "MeshProxyControlTests", dependencies: ["MeshHTTP", "MeshProxy", "MeshReactor", "MeshTLS", "MeshWire"],
      swiftSettings: common),
    .testTarget(
      name: "MeshXDSTests",
      dependencies: [
        "MeshXDS", "MeshControl", "MeshIdentity", "MeshModel", "MeshProxy", "MeshTLS", "MeshWire",
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
      ] + grpc,
      swiftSettings: common),
    // The house rules, checked like anything else.
    .testTarget(name: "MeshPolicyTests", dependencies: ["MeshPolicy", "MeshModel"], swiftSettings: common),
    .testTarget(
      name: "MeshTelemetryTests", dependencies: ["MeshTelemetry", "MeshModel", "MeshWire"], swiftSettings: common),
    .testTarget(name: "MeshSimulationTests", dependencies: ["MeshSimulation"], swiftSettings: common),
    .testTarget(name: "TidyTests", swiftSettings: common),
    .testTarget(name: "MeshHTTPTests", dependencies: ["MeshHTTP", "MeshModel"], swiftSettings: common),
  ],
  swiftLanguageModes: [.v6]
)
