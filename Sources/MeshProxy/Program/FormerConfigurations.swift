internal import CMeshSystem

/// Configurations that a worker may still use. The last to let go of one frees all of it, for which no worker has the time:
/// the side thread holds them until then, frees them, and gives the memory back.
final class FormerConfigurations {
  private var held: [CompiledConfiguration] = []
  private var isWaiting = false
  private let loop: SideLoop
  private static let everyNanoseconds: UInt64 = 1_000_000_000

  init(_ loop: SideLoop) { self.loop = loop }

  /// Takes over the one that was in force.
  func add(_ configuration: CompiledConfiguration) {
    held.append(configuration)
    wait()
  }

  /// Looks a little later, and as often as it takes, what no worker uses any more.
  private func wait() {
    guard !isWaiting, !held.isEmpty else { return }
    isWaiting = true
    loop.after(Self.everyNanoseconds) { [unowned self] in
      isWaiting = false
      let before = held.count
      for index in held.indices.reversed() where isKnownUniquelyReferenced(&held[index]) { held.remove(at: index) }
      if held.count < before { cms_release_memory() }
      wait()
    }
  }
}
