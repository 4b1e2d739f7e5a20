import CNIOBoringSSL

// The library's transport: it reads from the window of ciphertext that `feed` was given and writes to the caller's
// `TLSOutput`. Nothing is buffered in between.

/// A table of functions for the transports of one context; nil when there is no memory.
func makeTransportMethod() -> OpaquePointer? {
  guard let method = BIO_meth_new(0, "apus") else { return nil }
  BIO_meth_set_read(method) { bio, out, length in
    guard let bio, let out, let data = BIO_get_data(bio) else { return -1 }
    BIO_clear_retry_flags(bio)
    let state = data.assumingMemoryBound(to: SessionState.self)
    let available = state.pointee.inputCount &- state.pointee.inputUsed
    guard available > 0, length > 0, let input = state.pointee.input else {
      BIO_set_retry_read(bio)
      return -1
    }
    let taken = min(available, Int(length))
    UnsafeMutableRawPointer(out).copyMemory(from: input + state.pointee.inputUsed, byteCount: taken)
    state.pointee.inputUsed &+= taken
    return Int32(truncatingIfNeeded: taken)
  }
  BIO_meth_set_write(method) { bio, bytes, length in
    guard let bio, let bytes, let data = BIO_get_data(bio) else { return -1 }
    BIO_clear_retry_flags(bio)
    let state = data.assumingMemoryBound(to: SessionState.self)
    guard length >= 0, let output = state.pointee.output else { return -1 }
    let kept = output.pointee.append(UnsafeRawPointer(bytes).assumingMemoryBound(to: UInt8.self), Int(length))
    return kept ? length : -1
  }
  BIO_meth_set_ctrl(method) { _, command, _, _ in
    // Flushing is the reactor's business.
    command == BIO_CTRL_FLUSH ? 1 : 0
  }
  return method
}
