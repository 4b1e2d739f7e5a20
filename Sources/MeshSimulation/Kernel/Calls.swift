// Unsafe by design: the C library's shapes.
internal import CMeshSystem
internal import Glibc
internal import MeshPolicy
internal import MeshReactor

/// The simulated kernel as `CMeshSystem` asks it. One thread has at most one.
final class KernelCalls {
  private let table: UnsafeMutablePointer<cms_kernel>

  /// Puts `kernel` in the place of the real one for this thread, until `remove`.
  init(_ kernel: SimulatedKernel) {
    table = .allocate(capacity: 1)
    var calls = cms_kernel()
    calls.context = Unmanaged.passUnretained(kernel).toOpaque()
    Self.addClocks(&calls)
    Self.addReadiness(&calls)
    Self.addOpening(&calls)
    Self.addStreams(&calls)
    table.initialize(to: calls)
    cms_use_kernel(table)
  }

  /// The real kernel again.
  func remove() { cms_use_kernel(nil) }

  deinit { table.deallocate() }

  private static func addClocks(_ calls: inout cms_kernel) {
    calls.monotonic = { simulated($0).now }
    calls.wall = { simulated($0).wall }
    calls.fill_random = { context, bytes, count in
      let kernel = simulated(context)
      guard let bytes else { return -EFAULT }
      for index in 0..<count {
        bytes.storeBytes(of: UInt8(truncatingIfNeeded: kernel.random.next()), toByteOffset: index, as: UInt8.self)
      }
      return 0
    }
  }

  private static func addReadiness(_ calls: inout cms_kernel) {
    calls.epoll_create = { simulated($0).makeEpoll() }
    calls.epoll_add = { context, epoll, descriptor, data, isEdge in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor), let set = kernel.epoll(epoll) else { return -EBADF }
      if socket.epoll != nil { kernel.misuse("descriptor \(descriptor) is registered twice") }
      socket.epoll = set
      socket.context = data
      socket.isEdgeTriggered = isEdge != 0
      if kernel.readyMask(socket) != 0 { kernel.raise(socket) }
      return 0
    }
    calls.epoll_remove = { context, _, descriptor in
      guard let socket = simulated(context).socket(descriptor) else { return -EBADF }
      socket.epoll = nil
      return 0
    }
    calls.epoll_wait = { context, epoll, events, capacity, _ in
      let kernel = simulated(context)
      guard let set = kernel.epoll(epoll), let events else { return -EBADF }
      var index = 0
      return Int32(
        kernel.take(set, most: Int(capacity)) { socket, mask in
          events[index].events = mask
          events[index].data.ptr = socket.context
          kernel.note("  event \(socket.descriptor) \(mask)")
          index += 1
        })
    }
    calls.event_create = { simulated($0).makeSocket().descriptor }
    calls.event_raise = { context, descriptor in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor) else { return }
      socket.arrived = 1
      kernel.raise(socket)
    }
    calls.event_take = { context, descriptor in
      let kernel = simulated(context)
      kernel.socket(descriptor)?.arrived = 0
      kernel.work += 1
    }
  }

  private static func addOpening(_ calls: inout cms_kernel) {
    calls.stream_socket = { context, _ in simulated(context).makeSocket().descriptor }
    calls.connect = { context, descriptor, address, length in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor), let address,
        let target = address.withMemoryRebound(to: sockaddr_storage.self, capacity: 1, { SocketAddress($0) })
      else { return -EBADF }
      kernel.note("  connect \(descriptor) to \(target.port)")
      return kernel.connect(socket, port: target.port)
    }
    calls.accept = { context, descriptor, peer, length in
      let kernel = simulated(context)
      guard let listener = kernel.socket(descriptor) else { return -EBADF }
      guard let socket = kernel.accept(listener) else { return -EAGAIN }
      fill(peer, length, port: socket.peer?.port ?? 0)
      kernel.note("  accept \(socket.descriptor) on \(listener.port)")
      return socket.descriptor
    }
    calls.pending_error = { context, descriptor in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor) else { return EBADF }
      return kernel.takeError(socket)
    }
    calls.local_address = { context, descriptor, address, length in
      guard let socket = simulated(context).socket(descriptor) else { return -EBADF }
      fill(address, length, port: socket.port)
      return 0
    }
  }

  private static func addStreams(_ calls: inout cms_kernel) {
    calls.receive = { context, descriptor, bytes, count in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor), let bytes else { return Int(-EBADF) }
      let result = kernel.receive(socket, bytes, count)
      kernel.note("  receive \(descriptor) = \(result)")
      return result
    }
    calls.send = { context, descriptor, bytes, count in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor), let bytes else { return Int(-EBADF) }
      let result = kernel.send(socket, bytes, count)
      kernel.note("  send \(descriptor) \(count) = \(result)")
      return result
    }
    calls.shutdown_write = { context, descriptor in
      let kernel = simulated(context)
      guard let socket = kernel.socket(descriptor) else { return }
      kernel.note("  shutdown \(descriptor)")
      kernel.shutdownWrite(socket)
    }
    calls.reset_on_close = { context, descriptor in simulated(context).socket(descriptor)?.resetsOnClose = true }
    calls.close = { context, descriptor in
      let kernel = simulated(context)
      if kernel.dropEpoll(descriptor) { return kernel.forget(descriptor) }
      guard let socket = kernel.socket(descriptor) else { return }
      kernel.note("  close \(descriptor)")
      kernel.close(socket)
    }
    calls.bytes_acknowledged = { context, descriptor in
      guard let socket = simulated(context).socket(descriptor) else { return .max }
      return socket.acknowledged + 1
    }
  }
}

extension SimulatedKernel {
  /// Writes a line of the trace, if somebody reads it.
  @inline(__always)
  func note(_ text: @autoclosure () -> String) {
    if let trace { trace(text()) }
  }
}

/// The kernel that the table was made for: its context is never anything else.
private func simulated(_ context: UnsafeMutableRawPointer?) -> SimulatedKernel {
  Unmanaged<SimulatedKernel>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
}

/// An address of this host.
private func fill(
  _ storage: UnsafeMutablePointer<sockaddr_storage>?, _ length: UnsafeMutablePointer<socklen_t>?, port: UInt16
) {
  guard let storage, let address = SocketAddress(address: "127.0.0.1", port: port) else { return }
  address.withSockaddr { source, count in
    memcpy(storage, source, Int(count))
    length?.pointee = count
  }
}
