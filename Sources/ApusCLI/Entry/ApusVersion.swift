/// The version of this program.
package enum ApusVersion {
  /// Semantic Versioning.
  package static let text = "0.1.0"
}
