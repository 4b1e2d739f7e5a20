/// Why the store did not do what was asked. The message says what happened and how to mend it.
package enum StoreError: Error, Sendable, Equatable {
  /// The object is not there.
  case notFound(ResourceKey)
  /// An object of that name is there already.
  case alreadyExists(ResourceKey)
  /// The object was changed by somebody else since it was read.
  case conflict(ResourceKey, expected: UInt64, actual: UInt64)
  /// The history does not reach back to the version that was asked for: list again, watch from there.
  case gone(requested: UInt64, oldest: UInt64)
  /// No room for the change. Nothing of it was stored; reading goes on.
  case full(String)
  /// The file is damaged.
  case corrupt(String)
  /// Another process has the file.
  case locked(String)
  /// Anything else that the disk or the database reported.
  case unavailable(String)

  /// One sentence or two for people.
  package var message: String {
    switch self {
    case .notFound(let key): "\(key) is not there"
    case .alreadyExists(let key): "\(key) is there already; read it, then replace it"
    case .conflict(let key, let expected, let actual):
      "\(key) has been changed since it was read (resourceVersion \(expected), now \(actual)); "
        + "read it again and repeat the change"
    case .gone(let requested, let oldest):
      "the history begins at resourceVersion \(oldest), after \(requested); list again and watch from there"
    case .full(let text), .corrupt(let text), .locked(let text), .unavailable(let text): text
    }
  }
}
