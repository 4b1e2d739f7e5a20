import Foundation

/// What of a mesh lies in a data folder.
///
/// A first start makes the store, then the authority, then the API's token. Whatever is there without what was made
/// before it has therefore lost it.
package struct DataFolderState: Sendable, Equatable {
  package var hasStore: Bool
  package var hasAuthority: Bool
  package var hasToken: Bool

  package init(hasStore: Bool, hasAuthority: Bool, hasToken: Bool) {
    (self.hasStore, self.hasAuthority, self.hasToken) = (hasStore, hasAuthority, hasToken)
  }

  init(folder: String) {
    let files = FileManager.default
    // A log without its store is told by the store itself.
    hasStore = ["apus.db", "apus.db-wal"].contains { files.fileExists(atPath: "\(folder)/\($0)") }
    hasAuthority = (try? files.contentsOfDirectory(atPath: "\(folder)/ca"))?.isEmpty == false
    hasToken = files.fileExists(atPath: "\(folder)/api-token")
  }

  /// What a start with such a folder does.
  package enum Verdict: Sendable, Equatable {
    /// Opens what is there and makes what was never made.
    case start
    /// The store was there and is gone.
    case storeGone
    /// The authority was there and is gone.
    case authorityGone
  }

  /// - Parameter isStoreUsed: whether anything was ever written to the store.
  package func verdict(isStoreUsed: Bool) -> Verdict {
    guard hasStore else { return hasAuthority || hasToken ? .storeGone : .start }
    guard hasAuthority else { return hasToken || isStoreUsed ? .authorityGone : .start }
    return .start
  }

  /// - Throws: what is gone.
  func demand(isStoreUsed: Bool, in folder: String) throws(ControlPlane.StartError) {
    switch verdict(isStoreUsed: isStoreUsed) {
    case .start: return
    case .storeGone: throw .incomplete(missing: "\(folder)/apus.db", folder: folder)
    case .authorityGone: throw .incomplete(missing: "\(folder)/ca", folder: folder)
    }
  }
}
