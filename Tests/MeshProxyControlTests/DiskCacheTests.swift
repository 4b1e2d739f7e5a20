import Foundation
import MeshProxy
import Testing

@Suite final class DiskCacheTests {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("disk-cache-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private var path: String { folder.appendingPathComponent("snapshot").path }

  @Test func whatIsWrittenIsReadBackAndIsForTheOwnerOnly() throws {
    let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
    try DiskCache.write([1, 2, 3], to: path)
    try DiskCache.write(content, to: path)
    #expect(try DiskCache.read(path) == content)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["snapshot"])
  }

  @Test func anAbsentFileIsAbsent() {
    #expect(throws: DiskCache.Failure.absent) { try DiskCache.read(path) }
  }

  @Test func everyDamagedByteAndEveryCutIsNoticed() throws {
    try DiskCache.write(Array("all that was in force".utf8), to: path)
    let good = try Data(contentsOf: URL(fileURLWithPath: path))
    for index in good.indices {
      var bad = good
      bad[index] ^= 0x20
      try bad.write(to: URL(fileURLWithPath: path))
      #expect(throws: DiskCache.Failure.self) { try DiskCache.read(path) }
      try good.prefix(index).write(to: URL(fileURLWithPath: path))
      #expect(throws: DiskCache.Failure.self) { try DiskCache.read(path) }
    }
    try (good + [0]).write(to: URL(fileURLWithPath: path))
    #expect(throws: DiskCache.Failure.corrupt("it has another length")) { try DiskCache.read(path) }
  }

  @Test func whatCannotBeWrittenLeavesTheFormerAndSaysWhy() throws {
    #expect {
      try DiskCache.write([1], to: folder.path + "/none/snapshot")
    } throws: { error in
      guard let failure = error as? DiskCache.Failure, case .system = failure else { return false }
      return failure.sentence.contains("No such file or directory")
    }
    try DiskCache.write([1, 2, 3], to: path)
    try FileManager.default.createDirectory(atPath: path + ".new", withIntermediateDirectories: false)
    #expect(throws: DiskCache.Failure.self) { try DiskCache.write([4], to: path) }
    #expect(try DiskCache.read(path) == [1, 2, 3])
  }
}
