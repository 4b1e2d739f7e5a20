// Unsafe by design: bytes go to and from the simulated kernel's memory.
internal import Glibc
internal import MeshPolicy

/// An actor with one connection: what it wants to send waits in `output` until the socket takes it.
class SocketActor: Actor {
  var socket: SimulatedSocket?
  var output: [UInt8] = []
  var sent = 0
  /// Most that it reads at once, and the pause after that, nanoseconds; slow readers have small numbers and pauses.
  var readMost = 65536
  var readPause: UInt64 = 0
  private var mayReadAt: UInt64 = 0
  /// A write failed: the error has been told, and what looks like a proper end from here on is none.
  private var isBroken = false

  func use(_ socket: SimulatedSocket) {
    self.socket = socket
    isBroken = false
    socket.watcher = self
    wake()
  }

  func open(port: UInt16) {
    let socket = kernel.makeSocket()
    use(socket)
    _ = kernel.connect(socket, port: port)
  }

  /// Closes, with a reset if wanted.
  func hangUp(reset: Bool = false) {
    guard let socket else { return }
    socket.resetsOnClose = reset
    kernel.close(socket)
    self.socket = nil
    output = []
    sent = 0
  }

  enum ReadResult {
    case bytes(ArraySlice<UInt8>)
    case nothing
    case end
    case broken
  }

  /// Reads a piece; a slow reader is woken again when it may read on.
  func read() -> ReadResult {
    guard let socket else { return .nothing }
    if readPause > 0, kernel.now < mayReadAt {
      kernel.at(mayReadAt) { [weak self] in self?.wake() }
      return .nothing
    }
    var piece: [UInt8] = []
    let result = withUnsafeTemporaryAllocation(byteCount: readMost, alignment: 1) { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      let count = kernel.receive(socket, base, readMost)
      if count > 0 { piece = Array(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
      return count
    }
    if result > 0 {
      if readPause > 0 { mayReadAt = kernel.now + readPause }
      return .bytes(piece[...])
    }
    if result == 0 { return isBroken ? .broken : .end }
    return result == Int(-EAGAIN) ? .nothing : .broken
  }

  /// Sends what waits; false when the connection is broken.
  func flush(upTo end: Int? = nil) -> Bool {
    guard let socket else { return false }
    let end = min(end ?? output.count, output.count)
    while sent < end {
      let count = output.withUnsafeBytes { bytes in
        bytes.baseAddress.map { kernel.send(socket, $0 + sent, end - sent) } ?? 0
      }
      if count == Int(-EAGAIN) { return true }
      if count <= 0 {
        // Where the other direction has ended in order, everything of it has come: only ours is broken.
        isBroken = !socket.isReadShut
        return false
      }
      sent += count
    }
    if sent == output.count {
      output.removeAll(keepingCapacity: true)
      sent = 0
    }
    return true
  }

  func say(_ text: String) { output += Array(text.utf8) }

  func random(_ bound: Int) -> Int { kernel.random.pick(bound) }

  func chance(_ share: Int, of whole: Int) -> Bool { kernel.chance(share, of: whole) }
}
