// Unsafe by design: epoll gives back the address of the handler it was given.
internal import CMeshSystem
internal import Glibc
package import MeshReactor

/// Something on the side thread that waits for a descriptor.
class SideHandler {
  /// The descriptor is ready. Handlers read and write until the kernel has nothing more.
  func ready(_ readiness: Readiness) {}
}

/// The loop of the side thread: the stream to the control plane, admin, scrapes, signals. Nothing of a request passes
/// through it, and nothing in it is as quick as the workers have to be.
package final class SideLoop: EventLoop {
  private var held: [ObjectIdentifier: SideHandler] = [:]
  private var timersHeld: [UnsafeMutableRawPointer: SideTimer] = [:]

  override package init() throws(SystemError) { try super.init() }

  /// Tells `handler` of everything on `descriptor` until `unregister`. Edge-triggered.
  func register(_ descriptor: Int32, _ handler: SideHandler) throws(SystemError) {
    held[ObjectIdentifier(handler)] = handler
    guard cms_epoll_add(epoll, descriptor, Unmanaged.passUnretained(handler).toOpaque()) == 0 else {
      held[ObjectIdentifier(handler)] = nil
      throw SystemError("epoll_ctl")
    }
  }

  /// The same, level-triggered and for reading only: listening sockets, signals.
  func registerLevel(_ descriptor: Int32, _ handler: SideHandler) throws(SystemError) {
    held[ObjectIdentifier(handler)] = handler
    guard cms_epoll_add_level(epoll, descriptor, Unmanaged.passUnretained(handler).toOpaque()) == 0 else {
      held[ObjectIdentifier(handler)] = nil
      throw SystemError("epoll_ctl")
    }
  }

  /// Forgets `handler`, after its descriptor was closed. Its memory goes at the end of the turn.
  func unregister(_ handler: SideHandler) {
    if let gone = held.removeValue(forKey: ObjectIdentifier(handler)) { dying.append(gone) }
  }
  private var dying: [SideHandler] = []

  /// Runs `job` once, after a time; `cancel()` takes it back.
  @discardableResult
  func after(_ nanoseconds: UInt64, _ job: @escaping () -> Void) -> SideTimer {
    let timer = SideTimer(job)
    timersHeld[UnsafeMutableRawPointer(timer.node)] = timer
    timers.arm(timer.node, deadline: cms_monotonic_nanoseconds() &+ nanoseconds)
    return timer
  }

  override public func ready(_ context: UnsafeMutableRawPointer, _ readiness: Readiness) {
    let handler = Unmanaged<SideHandler>.fromOpaque(context).takeUnretainedValue()
    // A handler that went earlier in this turn is kept alive until the turn ends, and hears nothing more.
    if held[ObjectIdentifier(handler)] === handler { handler.ready(readiness) }
  }

  override public func expired(_ timer: UnsafeMutablePointer<WheelTimer>) {
    guard let due = timersHeld.removeValue(forKey: UnsafeMutableRawPointer(timer)) else { return }
    due.run()
  }

  override public func turnEnded() { dying = [] }
}

/// A job for later on the side thread.
final class SideTimer {
  fileprivate let node: UnsafeMutablePointer<WheelTimer>
  private var job: (() -> Void)?

  fileprivate init(_ job: @escaping () -> Void) {
    self.job = job
    node = .allocate(capacity: 1)
    node.initialize(to: WheelTimer())
  }

  deinit { node.deallocate() }

  /// The job will not run.
  func cancel() { job = nil }

  fileprivate func run() {
    let due = job
    job = nil
    due?()
  }
}
