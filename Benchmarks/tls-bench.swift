// What TLS costs without sockets: handshakes in full and resumed, sealing and reading of records, memory of open
// connections. Run by Benchmarks/tls; CPU time, both ends in one process.
import Glibc
import MeshModel
import MeshTLS

private func cpuSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Of this process, from /proc/self/statm.
private func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var text = [UInt8](repeating: 0, count: 128)
  let count = fread(&text, 1, text.count, file)
  let fields = String(decoding: text.prefix(count), as: UTF8.self).split(separator: " ")
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) : 0
}

private enum Failed: Error {
  case session, handshake(TLSFailure), size
}

private final class Side {
  static let capacity = 1 << 20
  let session: TLSSession
  let output = UnsafeMutablePointer<TLSOutput>.allocate(capacity: 1)

  init(_ context: TLSContext, ticket: TLSTicket? = nil) throws {
    guard let session = TLSSession(context: context, ticket: ticket) else { throw Failed.session }
    self.session = session
    output.initialize(to: TLSOutput())
    _ = session.start(output: output, nowSeconds: TestAuthority.now)
  }

  deinit {
    session.free()
    output.pointee.deallocate()
    output.deallocate()
  }
}

private struct Bench {
  let plaintext = UnsafeMutablePointer<UInt8>.allocate(capacity: Side.capacity)
  let authority: TestAuthority
  let trust: TLSTrust

  init() throws {
    let root = try TestAuthority()
    authority = try root.intermediate()
    trust = try root.trust()
  }

  func contexts(_ keyExchange: TLSKeyExchange, _ records: TLSRecords) throws -> (TLSContext, TLSContext) {
    func settings(_ role: TLSSettings.Role) throws -> TLSSettings {
      var settings = TLSSettings(
        role: role, identity: try authority.identity(), trust: trust, trustDomains: [.standard],
        protocols: ["apus-http/1.1"])
      settings.keyExchange = keyExchange
      settings.records = records
      settings.ticketKeys = TLSTicketKeys()
      return settings
    }
    return (try TLSContext(settings(.client)), try TLSContext(settings(.server(.required))))
  }

  /// Carries what one side has put out to the other; returns the bytes.
  func carry(_ source: Side, _ target: Side) throws -> Int {
    let count = source.output.pointee.count
    guard count > 0, let base = source.output.pointee.base else { return 0 }
    var offset = 0
    while offset < count {
      let result = target.session.feed(
        base + offset, count - offset, plaintext: plaintext, capacity: Side.capacity, output: target.output,
        nowSeconds: TestAuthority.now)
      if case .failure(let failure) = result.state { throw Failed.handshake(failure) }
      offset += result.consumed
    }
    source.output.pointee.reset(keeping: 1 << 21)
    return count
  }

  func connect(
    _ contexts: (TLSContext, TLSContext), ticket: TLSTicket? = nil
  ) throws -> (client: Side, server: Side, bytes: Int) {
    let client = try Side(contexts.0, ticket: ticket)
    let server = try Side(contexts.1)
    var bytes = 0
    while client.output.pointee.count + server.output.pointee.count > 0 {
      bytes += try carry(client, server)
      bytes += try carry(server, client)
    }
    return (client, server, bytes)
  }

  func handshakes(_ name: String, _ keyExchange: TLSKeyExchange) throws {
    let contexts = try contexts(keyExchange, .own)
    let first = try connect(contexts)
    var byte: UInt8 = 1
    _ = first.server.session.seal(&byte, 1, output: first.server.output)
    _ = try carry(first.server, first.client)
    guard let ticket = first.client.session.takeTicket() else { throw Failed.session }
    defer { ticket.free() }
    for (kind, used, rounds) in [("full", nil, 1000), ("resumed", ticket, 2000)] as [(String, TLSTicket?, Int)] {
      var bytes = 0
      let begin = cpuSeconds()
      for _ in 0..<rounds { bytes = try connect(contexts, ticket: used).bytes }
      let each = (cpuSeconds() - begin) / Double(rounds)
      print("\(name), \(kind): \(Int(each * 1e6)) µs both ends, \(Int(1 / each)) a second, \(bytes) bytes on the wire")
    }
  }

  func records(_ records: TLSRecords) throws {
    let contexts = try contexts(.postQuantumPreferred, records)
    for size in [64, 1024, 16_384, 131_072] {
      let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
      defer { buffer.deallocate() }
      buffer.initialize(repeating: 7, count: size)
      let rounds = max(2000, min(200_000, (1 << 30) / size))
      let one = try connect(contexts)
      var begin = cpuSeconds()
      for _ in 0..<rounds {
        _ = one.client.session.seal(buffer, size, output: one.client.output)
        one.client.output.pointee.reset(keeping: 1 << 21)
      }
      let sealing = cpuSeconds() - begin
      let two = try connect(contexts)
      begin = cpuSeconds()
      for _ in 0..<rounds {
        _ = two.client.session.seal(buffer, size, output: two.client.output)
        _ = try carry(two.client, two.server)
      }
      let reading = cpuSeconds() - begin - sealing
      let megabytes = Double(rounds * size) / 1e6
      print(
        "\(records) records, \(size) bytes: seal \(Int(sealing / Double(rounds) * 1e9)) ns "
          + "(\(Int(megabytes / sealing)) MB/s), read \(Int(reading / Double(rounds) * 1e9)) ns "
          + "(\(Int(megabytes / reading)) MB/s), \(one.client.session.cipherName)")
    }
  }

  func memory(_ records: TLSRecords) throws {
    let contexts = try contexts(.postQuantumPreferred, records)
    var open: [(client: Side, server: Side, bytes: Int)] = []
    open.reserveCapacity(2100)
    var before = 0
    for round in 0..<2100 {
      if round == 100 { before = residentBytes() }
      let pair = try connect(contexts)
      var byte: UInt8 = 1
      for (source, target) in [(pair.client, pair.server), (pair.server, pair.client)] {
        _ = source.session.seal(&byte, 1, output: source.output)
        _ = try carry(source, target)
        source.output.pointee.deallocate()
      }
      pair.client.session.takeTicket()?.free()
      open.append(pair)
    }
    print("\(records) records: \((residentBytes() - before) / 4000) bytes of memory for an open, idle connection")
    withExtendedLifetime(open) {}
  }
}

@main
private enum Main {
  static func main() throws {
    let bench = try Bench()
    // Memory is measured in processes of their own, where nothing freed before is used again.
    if let kind = CommandLine.arguments.dropFirst().first {
      return try bench.memory(kind == "library" ? .library : .own)
    }
    try bench.handshakes("X25519MLKEM768", .postQuantumPreferred)
    try bench.handshakes("X25519", .classicPreferred)
    try bench.records(.own)
    try bench.records(.library)
  }
}
