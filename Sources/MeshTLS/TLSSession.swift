import CNIOBoringSSL

/// What a call of `TLSSession.feed` did.
package struct TLSReadResult: Equatable {
  package enum State: Equatable {
    /// All input was taken; more is needed before anything else can happen.
    case wantMore
    /// The handshake has just ended well: the peer is known, `seal` works. Said once; call again with the rest.
    case handshakeDone
    /// The room for plaintext is used up: call again with the rest, even if that is nothing.
    case plaintextFull
    /// The peer will send no more; what was sealed before is complete.
    case closeNotify
    /// The connection is over. What is in the output, an alert, should still be sent.
    case failure(TLSFailure)
  }

  /// Bytes of ciphertext that were taken.
  package var consumed: Int
  /// Bytes of plaintext that were written.
  package var produced: Int
  package var state: State

  init(consumed: Int, produced: Int, state: State) {
    self.consumed = consumed
    self.produced = produced
    self.state = state
  }
}

/// One TLS connection without its socket: ciphertext goes in and out through memory that the caller owns.
///
/// A plain handle, to be kept in a connection's structure: no reference counting, and no allocation by us for a record.
/// It belongs to one loop. Every call takes the output that handshake messages, alerts and records are appended to,
/// so that all ciphertext of a loop turn can leave in one `send`. `free()` ends it, once.
package struct TLSSession {
  let state: UnsafeMutablePointer<SessionState>

  /// Begins a session; nil when there is no memory.
  ///
  /// - Parameters:
  ///   - context: held until `free()`.
  ///   - expectation: whom the peer may be; nil: any identity of the trust domains.
  ///   - ticket: from an earlier session with the same endpoint, for a short handshake; it stays the caller's.
  package init?(context: TLSContext, expectation: TLSExpectation? = nil, ticket: TLSTicket? = nil) {
    guard let ssl = SSL_new(context.library) else {
      ERR_clear_error()
      return nil
    }
    guard let bio = BIO_new(context.transport) else {
      SSL_free(ssl)
      ERR_clear_error()
      return nil
    }
    state = .allocate(capacity: 1)
    state.initialize(
      to: SessionState(
        ssl: ssl, context: .passRetained(context), expectation: expectation.map { .passRetained($0) }))
    BIO_set_data(bio, state)
    BIO_set_init(bio, 1)
    SSL_set_bio(ssl, bio, bio)
    SSL_set_ex_data(ssl, 0, state)
    SSL_set_shed_handshake_config(ssl, 1)
    if context.isServer {
      SSL_set_accept_state(ssl)
    } else {
      SSL_set_connect_state(ssl)
      if case .server(let name, _) = context.settings.peer, !name.isEmpty { SSL_set_tlsext_host_name(ssl, name) }
      if let ticket, ticket.trust == context.trustMark { SSL_set_session(ssl, ticket.session) }
    }
  }

  /// Sends a client's first message; a server only begins to wait.
  ///
  /// - Parameter nowSeconds: seconds since 1970.
  package func start(output: UnsafeMutablePointer<TLSOutput>, nowSeconds: Int64) -> TLSReadResult {
    guard state.pointee.phase == .idle else {
      return TLSReadResult(consumed: 0, produced: 0, state: .failure(.notOpen))
    }
    state.pointee.phase = .handshaking
    return handshake(nil, 0, output, nowSeconds)
  }

  /// Takes ciphertext that was received and writes the plaintext it holds.
  ///
  /// - Parameters:
  ///   - ciphertext, count: what was received. Bytes that are not consumed must be passed again.
  ///   - plaintext, capacity: where plaintext goes; a record holds up to 16 KiB. During the handshake nothing is written.
  ///   - output: what must be sent is appended.
  ///   - nowSeconds: seconds since 1970, against which certificates are checked.
  package func feed(
    _ ciphertext: UnsafePointer<UInt8>?, _ count: Int, plaintext: UnsafeMutablePointer<UInt8>, capacity: Int,
    output: UnsafeMutablePointer<TLSOutput>, nowSeconds: Int64
  ) -> TLSReadResult {
    switch state.pointee.phase {
    case .open:
      if let records = state.pointee.records {
        readRecords(records, ciphertext, count, plaintext, capacity, output)
      } else {
        read(ciphertext, count, plaintext, capacity, output, nowSeconds)
      }
    case .handshaking: handshake(ciphertext, count, output, nowSeconds)
    case .closedByPeer: TLSReadResult(consumed: count, produced: 0, state: .closeNotify)
    case .idle: TLSReadResult(consumed: 0, produced: 0, state: .failure(.notOpen))
    case .failed: TLSReadResult(consumed: count, produced: 0, state: .failure(state.pointee.failure ?? .notOpen))
    }
  }

  /// Says that the transport has ended.
  ///
  /// - Returns: `closeNotify` if the peer had said so, otherwise `failure(.truncated)`.
  package func endOfInput() -> TLSReadResult.State {
    switch state.pointee.phase {
    case .closedByPeer: return .closeNotify
    case .failed: return .failure(state.pointee.failure ?? .truncated)
    case .idle, .handshaking, .open:
      return fail(.truncated)
    }
  }

  /// Encrypts plaintext into records of at most 16 KiB. Call it once a turn with all that is to be sent: every call
  /// makes at least one record.
  ///
  /// - Returns: nil when all of it was sealed; otherwise why nothing more can be.
  package func seal(
    _ plaintext: UnsafePointer<UInt8>, _ count: Int, output: UnsafeMutablePointer<TLSOutput>
  ) -> TLSFailure? {
    guard state.pointee.phase == .open || state.pointee.phase == .closedByPeer else {
      return state.pointee.failure ?? .notOpen
    }
    if let records = state.pointee.records {
      releaseHeld(to: output)
      guard RecordLayer.seal(records, type: RecordLayer.ContentType.data, plaintext, count, output) else {
        _ = fail(.internalFailure)
        return .internalFailure
      }
      return nil
    }
    state.pointee.output = output
    defer { state.pointee.output = nil }
    var done = 0
    while done < count, let ssl = state.pointee.ssl {
      let written = SSL_write(ssl, plaintext + done, Int32(min(count - done, 1 << 24)))
      guard written > 0 else {
        let failure = libraryFailure(state)
        _ = fail(failure)
        return failure
      }
      done += Int(written)
    }
    return nil
  }

  /// Goes on to the next key for what we send (RFC 8446, section 4.6.3). It happens by itself after 2^23 records.
  ///
  /// - Parameter requestingPeer: ask the peer to do the same.
  /// - Returns: false before the handshake's end, after ours, with TLS 1.2, and when there is no memory.
  package func updateKeys(requestingPeer: Bool, output: UnsafeMutablePointer<TLSOutput>) -> Bool {
    guard state.pointee.phase == .open || state.pointee.phase == .closedByPeer else { return false }
    if let records = state.pointee.records {
      releaseHeld(to: output)
      return RecordLayer.updateWriting(records, requestingPeer: requestingPeer, output)
    }
    guard let ssl = state.pointee.ssl, state.pointee.version == TLS1_3_VERSION else { return false }
    state.pointee.output = output
    defer { state.pointee.output = nil }
    let request = requestingPeer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED
    let done = SSL_key_update(ssl, request) == 1 && SSL_write(ssl, nil, 0) >= 0
    ERR_clear_error()
    return done
  }

  /// Encrypts one record of any type, as a peer that breaks the rules would send it. For tests of the other side.
  ///
  /// - Returns: false if the records are not ours, and when there is no memory.
  package func sealHostile(type: UInt8, _ content: [UInt8], output: UnsafeMutablePointer<TLSOutput>) -> Bool {
    releaseHeld(to: output)
    guard let records = state.pointee.records, content.count <= RecordLayer.longestContent + 64,
      let out = output.pointee.reserve(content.count + RecordLayer.overhead),
      TrafficKey.seal(records.key(\.writing), type: type, content, content.count, out)
    else { return false }
    output.pointee.advance(content.count + RecordLayer.overhead)
    return true
  }

  /// A connection that many share, or that is busy: memory for records whose end has not come is kept from one to the next,
  /// until `trim`.
  package func keepMemory() { state.pointee.records?.pointee.keepsMemory = true }

  /// Gives back memory that waits for nothing. Call it now and then where `keepMemory` was called.
  package func trim() {
    guard let records = state.pointee.records, records.pointee.partial.count == 0 else { return }
    records.pointee.partial.deallocate()
  }

  /// Says that no more will be sealed: appends close_notify. The peer may go on sending.
  package func shutdown(output: UnsafeMutablePointer<TLSOutput>) {
    guard state.pointee.phase == .open || state.pointee.phase == .closedByPeer else { return }
    if let records = state.pointee.records {
      releaseHeld(to: output)
      RecordLayer.alert(records, TLSAlert.closeNotify, output)
      return
    }
    guard let ssl = state.pointee.ssl else { return }
    state.pointee.output = output
    SSL_shutdown(ssl)
    ERR_clear_error()
    state.pointee.output = nil
  }

  /// Ends the session and gives all its memory back. The handle must not be used after that.
  package func free() {
    releaseLibrary()
    releaseSecrets()
    if let records = state.pointee.records { RecordLayer.destroy(records) }
    state.pointee.held.deallocate()
    if let ticket = state.pointee.ticket { SSL_SESSION_free(ticket) }
    state.pointee.identity?.deallocate()
    state.pointee.expectation?.release()
    state.pointee.context.release()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  func releaseLibrary() {
    if let ssl = state.pointee.ssl { SSL_free(ssl) }
    state.pointee.ssl = nil
  }

  private func releaseSecrets() {
    guard let secrets = state.pointee.secrets else { return }
    OPENSSL_cleanse(secrets, MemoryLayout<TrafficSecrets>.size)
    secrets.deallocate()
    state.pointee.secrets = nil
  }

  /// Puts what was waiting for company in front of what goes out now.
  @inline(__always)
  func releaseHeld(to output: UnsafeMutablePointer<TLSOutput>) {
    guard state.pointee.held.count > 0, let base = state.pointee.held.base else { return }
    _ = output.pointee.append(base, state.pointee.held.count)
    state.pointee.held.deallocate()
  }

  func fail(_ failure: TLSFailure) -> TLSReadResult.State {
    state.pointee.failure = failure
    state.pointee.phase = .failed
    return .failure(failure)
  }

  private func open(
    _ ciphertext: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<TLSOutput>, _ nowSeconds: Int64
  ) {
    state.pointee.input = ciphertext
    state.pointee.inputCount = count
    state.pointee.inputUsed = 0
    state.pointee.output = output
    state.pointee.nowSeconds = nowSeconds
  }

  private func close(_ result: TLSReadResult) -> TLSReadResult {
    state.pointee.input = nil
    state.pointee.inputCount = 0
    state.pointee.output = nil
    return result
  }

  private func handshake(
    _ ciphertext: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<TLSOutput>, _ nowSeconds: Int64
  ) -> TLSReadResult {
    open(ciphertext, count, output, nowSeconds)
    if let ciphertext, count > 0, !state.pointee.receivedAny {
      state.pointee.receivedAny = true
      // Record types: handshake, or an alert from a peer that does not like our first message.
      guard ciphertext[0] == 22 || ciphertext[0] == 21 else {
        return close(TLSReadResult(consumed: 0, produced: 0, state: fail(.notTLS)))
      }
    }
    guard let ssl = state.pointee.ssl else {
      return close(TLSReadResult(consumed: 0, produced: 0, state: fail(.notOpen)))
    }
    let outcome = SSL_do_handshake(ssl)
    let used = state.pointee.inputUsed
    guard outcome == 1 else {
      if SSL_get_error(ssl, outcome) == SSL_ERROR_WANT_READ {
        return close(TLSReadResult(consumed: used, produced: 0, state: .wantMore))
      }
      return close(TLSReadResult(consumed: used, produced: 0, state: fail(libraryFailure(state))))
    }
    return close(TLSReadResult(consumed: used, produced: 0, state: finishHandshake(ssl)))
  }

  /// The library is content; a resumed server session is still to be checked, since the library does not.
  private func finishHandshake(_ ssl: OpaquePointer) -> TLSReadResult.State {
    state.pointee.resumed = SSL_session_reused(ssl) == 1
    let context = state.pointee.context.takeUnretainedValue()
    if context.isServer, state.pointee.resumed {
      if let failure = verifyResumed(context, ssl) {
        SSL_send_fatal_alert(ssl, failure.alert)
        ERR_clear_error()
        return fail(failure)
      }
    }
    var name: UnsafePointer<UInt8>?
    var length: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &length)
    if let name, length > 0 {
      let chosen = UnsafeBufferPointer(start: name, count: Int(length))
      for (index, candidate) in context.settings.protocols.enumerated() where index < 255 {
        if candidate.utf8.elementsEqual(chosen) { state.pointee.protocolIndex = UInt8(index) }
      }
    }
    state.pointee.cipher = SSL_get_current_cipher(ssl)
    state.pointee.version = UInt16(truncatingIfNeeded: SSL_version(ssl))
    state.pointee.group = SSL_get_group_id(ssl)
    state.pointee.phase = .open
    takeOverRecords(context, ssl)
    return .handshakeDone
  }

  /// Takes the records of a TLS 1.3 connection from the library, which a server then has no use for any more.
  private func takeOverRecords(_ context: TLSContext, _ ssl: OpaquePointer) {
    defer { releaseSecrets() }
    guard context.settings.records == .own, let secrets = state.pointee.secrets,
      SSL_version(ssl) == TLS1_3_VERSION
    else { return }
    // The library holds a server's tickets back until something is written; take them before the sequence is read.
    let output = state.pointee.output
    withUnsafeMutablePointer(to: &state.pointee.held) { held in
      state.pointee.output = held
      SSL_write(ssl, nil, 0)
      ERR_clear_error()
    }
    state.pointee.output = output
    guard let records = RecordLayer.takeOver(ssl, secrets: secrets, isServer: context.isServer) else {
      if let output { releaseHeld(to: output) }
      return
    }
    state.pointee.records = records
    if context.isServer { releaseLibrary() }
  }

  private func verifyResumed(_ context: TLSContext, _ ssl: OpaquePointer) -> TLSFailure? {
    guard case .server(let policy) = context.settings.role else { return nil }
    switch policy {
    case .none: return nil
    case .optional:
      let shown = SSL_get0_peer_certificates(ssl).map { sk_CRYPTO_BUFFER_num($0) } ?? 0
      return shown == 0 ? nil : verifyPeer(of: state, ssl: ssl, resumed: true)
    case .required: return verifyPeer(of: state, ssl: ssl, resumed: true)
    }
  }

  private func read(
    _ ciphertext: UnsafePointer<UInt8>?, _ count: Int, _ plaintext: UnsafeMutablePointer<UInt8>, _ capacity: Int,
    _ output: UnsafeMutablePointer<TLSOutput>, _ nowSeconds: Int64
  ) -> TLSReadResult {
    open(ciphertext, count, output, nowSeconds)
    guard let ssl = state.pointee.ssl else {
      return close(TLSReadResult(consumed: 0, produced: 0, state: fail(.notOpen)))
    }
    var produced = 0
    while true {
      let room = capacity - produced
      guard room > 0 else {
        return close(TLSReadResult(consumed: state.pointee.inputUsed, produced: produced, state: .plaintextFull))
      }
      let got = SSL_read(ssl, plaintext + produced, Int32(min(room, 1 << 24)))
      if got > 0 {
        produced += Int(got)
        continue
      }
      let next: TLSReadResult.State
      switch SSL_get_error(ssl, got) {
      case SSL_ERROR_WANT_READ: next = .wantMore
      case SSL_ERROR_ZERO_RETURN:
        state.pointee.phase = .closedByPeer
        next = .closeNotify
      default: next = fail(libraryFailure(state))
      }
      return close(TLSReadResult(consumed: state.pointee.inputUsed, produced: produced, state: next))
    }
  }
}
