import Foundation
import MeshControl
import MeshStore

let epoch = Timestamp(secondsSinceEpoch: 1_800_000_000)

/// A folder that goes away with the test.
final class Folder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var database: String { path + "/apus.db" }
}

func open(_ path: String, limits: StoreLimits = StoreLimits()) async throws -> SQLiteStore {
  try await SQLiteStore.open(path: path, limits: limits, now: { epoch })
}

/// A service whose target port tells its versions apart.
func service(_ name: String, targetPort: Int = 8080, namespace: String = "default") -> Resource {
  var spec = ServiceSpec()
  spec.selector = ["app": name]
  spec.ports = [ServiceSpec.Port(port: 80, targetPort: .number(targetPort))]
  return Resource(metadata: Metadata(name: name, namespace: namespace), spec: spec)
}

func key(_ name: String, namespace: String = "default") -> ResourceKey {
  ResourceKey(groupKind: ServiceSpec.kind.groupKind, namespace: namespace, name: name)
}

/// The target port of a stored service; nil where it is not there.
func targetPort(_ name: String, in store: SQLiteStore) async throws -> Int? {
  guard let spec = try await store.resource(key(name))?.spec as? ServiceSpec,
    case .number(let number) = spec.ports.first?.targetPort
  else { return nil }
  return number
}
