internal import CMeshSystem

/// Puts the configuration on disk after it has changed: the first time at once, later once for changes that follow each
/// other, the later the longer writing takes. A proxy that starts again begins with what was written last, and is told
/// what has changed since.
final class ConfigurationKeeper {
  private let loop: SideLoop
  private let write: () -> Void
  /// Set while something waits to be written.
  private var waiting: SideTimer?
  /// How long it took last, nanoseconds; 0: it never was written.
  private var cost: UInt64 = 0

  /// Bounds of the wait after a change, nanoseconds.
  private static let least: UInt64 = 200_000_000
  private static let most: UInt64 = 2_000_000_000
  /// Who takes so long to be written is large: what writing leaves behind is given back.
  private static let large: UInt64 = 20_000_000

  /// - Parameter write: puts what is in force on disk.
  init(_ loop: SideLoop, write: @escaping () -> Void) {
    self.loop = loop
    self.write = write
  }

  /// There is something new.
  func soon() {
    guard waiting == nil else { return }
    let wait = cost == 0 ? 0 : min(max(Self.least, cost &* 50), Self.most)
    waiting = loop.after(wait) { [weak self] in self?.now() }
  }

  /// Writes what waits, if anything does.
  func now() {
    guard let timer = waiting else { return }
    timer.cancel()
    waiting = nil
    let begin = cms_monotonic_nanoseconds()
    write()
    cost = max(1, cms_monotonic_nanoseconds() &- begin)
    guard cost > Self.large else { return }
    cms_release_memory()
    cms_forget_program()
  }
}
