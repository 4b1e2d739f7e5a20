import Foundation
import MeshModel
import MeshServer
import Synchronization
import Testing

/// A data folder that goes with the test.
private final class DataFolder: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("plane-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func configuration() -> ControlPlane.Configuration {
    var configuration = ControlPlane.Configuration(dataFolder: path, version: "0.0.0")
    configuration.xdsPort = 0
    configuration.apiPort = 0
    return configuration
  }
}

/// Runs a control plane until it is ready, then ends it. Returns where it was reached.
private func start(_ configuration: ControlPlane.Configuration) async throws -> ControlPlane.Addresses? {
  let found = Mutex<ControlPlane.Addresses?>(nil)
  let (readiness, ready) = AsyncStream.makeStream(of: Void.self)
  let plane = ControlPlane(configuration: configuration) { addresses in
    found.withLock { $0 = addresses }
    ready.finish()
  }
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      defer { ready.finish() }
      try await plane.run()
    }
    for await _ in readiness {}
    group.cancelAll()
    try await group.waitForAll()
  }
  return found.withLock { $0 }
}

@Suite(.serialized) struct ControlPlaneTests {
  @Test func itStartsOnFreePortsAndAgainOnTheSameFolder() async throws {
    let folder = DataFolder()
    let first = try #require(try await start(folder.configuration()))
    #expect(first.apiPort > 0 && first.xdsPort > 0 && first.apiPort != first.xdsPort)
    let root = try String(contentsOfFile: folder.path + "/ca/root-cert.pem", encoding: .utf8)
    let token = try String(contentsOfFile: folder.path + "/api-token", encoding: .utf8)
    #expect(try await start(folder.configuration()) != nil)
    #expect(try String(contentsOfFile: folder.path + "/ca/root-cert.pem", encoding: .utf8) == root)
    #expect(try String(contentsOfFile: folder.path + "/api-token", encoding: .utf8) == token)
    let mode = try FileManager.default.attributesOfItem(atPath: folder.path)[.posixPermissions] as? Int
    #expect(mode == 0o700)
  }

  @Test func aPortThatIsTakenIsNamed() async throws {
    let folder = DataFolder(), other = DataFolder()
    let (readiness, ready) = AsyncStream.makeStream(of: ControlPlane.Addresses.self)
    let running = Task {
      try await ControlPlane(configuration: folder.configuration()) { ready.yield($0) }.run()
    }
    let taken = try #require(await readiness.first { _ in true })
    var configuration = other.configuration()
    configuration.xdsPort = taken.xdsPort
    await #expect(throws: ControlPlane.StartError.cannotListen(address: "127.0.0.1:\(taken.xdsPort)")) {
      try await start(configuration)
    }
    configuration.xdsPort = 0
    configuration.apiPort = taken.apiPort
    await #expect(throws: ControlPlane.StartError.cannotListen(address: "127.0.0.1:\(taken.apiPort)")) {
      try await start(configuration)
    }
    running.cancel()
    try await running.value
  }

  @Test func anAuthorityOfAnotherTrustDomainIsRefused() async throws {
    let folder = DataFolder()
    _ = try await start(folder.configuration())
    var configuration = folder.configuration()
    configuration.trustDomain = try TrustDomain("example.org")
    await #expect(throws: (any Error).self) { try await start(configuration) }
  }
  @Test(arguments: [
    (false, false, false, false, DataFolderState.Verdict.start),
    // A first start makes the store, the authority, the token; it may end after each of them.
    (true, false, false, false, .start), (true, true, false, false, .start), (true, true, true, true, .start),
    (false, true, false, false, .storeGone), (false, false, true, false, .storeGone),
    (false, true, true, false, .storeGone),
    (true, false, true, false, .authorityGone), (true, false, false, true, .authorityGone),
    (true, false, true, true, .authorityGone),
  ])
  func whatIsGoneIsNeverMadeAnew(
    hasStore: Bool, hasAuthority: Bool, hasToken: Bool, isStoreUsed: Bool, expected: DataFolderState.Verdict
  ) {
    let state = DataFolderState(hasStore: hasStore, hasAuthority: hasAuthority, hasToken: hasToken)
    #expect(state.verdict(isStoreUsed: isStoreUsed) == expected)
  }

  @Test(arguments: ["apus.db", "ca"]) func aFolderThatHasLostSomethingIsRefusedAndLeftAsItIs(_ lost: String)
    async throws
  {
    let folder = DataFolder()
    _ = try await start(folder.configuration())
    try FileManager.default.removeItem(atPath: "\(folder.path)/\(lost)")
    let refusal = ControlPlane.StartError.incomplete(missing: "\(folder.path)/\(lost)", folder: folder.path)
    await #expect(throws: refusal) { try await start(folder.configuration()) }
    #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/\(lost)"))
    #expect(refusal.description.contains(lost) && refusal.hint.contains("move the folder"))
  }

  @Test(arguments: ["", "ca"]) func aFirstStartThatWasCutShortGoesOn(_ made: String) async throws {
    let folder = DataFolder()
    _ = try await start(folder.configuration())
    for name in ["ca", "api-token"] where name != made {
      try FileManager.default.removeItem(atPath: "\(folder.path)/\(name)")
    }
    #expect(try await start(folder.configuration()) != nil)
  }
}
