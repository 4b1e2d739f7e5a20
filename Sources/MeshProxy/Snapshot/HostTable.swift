// Unsafe by design: read by the traffic path through plain pointers.

/// Which service a host name means, as a hash table in memory that is written once.
package final class HostTable: @unchecked Sendable {
  // Unchecked: the memory is written in `init` and only read afterwards.
  let view: UnsafeMutablePointer<HostTableView>
  private let slots: UnsafeMutablePointer<HostSlot>
  private let text: UnsafeMutablePointer<UInt8>
  private let ports: UnsafeMutablePointer<HostPort>

  /// - Parameter hosts: names in lower case, each with the clusters of its ports.
  init(_ hosts: [String: [(port: UInt16, cluster: Int32)]]) {
    var capacity = 8
    while capacity < hosts.count * 2 { capacity *= 2 }
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: HostSlot(), count: capacity)
    text = .allocate(capacity: max(1, hosts.keys.reduce(0) { $0 + $1.utf8.count }))
    ports = .allocate(capacity: max(1, hosts.values.reduce(0) { $0 + $1.count }))
    var textEnd = 0
    var portEnd = 0
    for (name, entries) in hosts {
      let bytes = Array(name.utf8)
      var index = Int(truncatingIfNeeded: HostTableView.hash(bytes)) & (capacity - 1)
      while slots[index].length > 0 { index = (index + 1) & (capacity - 1) }
      slots[index] = HostSlot(
        hash: HostTableView.hash(bytes), offset: UInt32(textEnd), length: UInt32(bytes.count),
        ports: UInt32(portEnd), portCount: UInt32(entries.count))
      (text + textEnd).initialize(from: bytes, count: bytes.count)
      textEnd += bytes.count
      for entry in entries {
        (ports + portEnd).initialize(to: HostPort(port: entry.port, cluster: entry.cluster))
        portEnd += 1
      }
    }
    view = .allocate(capacity: 1)
    view.initialize(to: HostTableView(slots: slots, mask: capacity - 1, text: text, ports: ports))
  }

  deinit {
    slots.deallocate()
    text.deallocate()
    ports.deallocate()
    view.deallocate()
  }
}

struct HostSlot {
  var hash: UInt64 = 0
  var offset: UInt32 = 0
  /// 0: the slot is free.
  var length: UInt32 = 0
  var ports: UInt32 = 0
  var portCount: UInt32 = 0
}

struct HostPort {
  var port: UInt16
  var cluster: Int32
}

/// What the traffic path reads.
struct HostTableView {
  let slots: UnsafeMutablePointer<HostSlot>
  let mask: Int
  let text: UnsafeMutablePointer<UInt8>
  let ports: UnsafeMutablePointer<HostPort>

  /// FNV-1a over the name in lower case. The keys come from configuration, so that nobody can send colliding ones.
  static func hash(_ bytes: some Collection<UInt8>) -> UInt64 {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return value
  }

  /// The cluster that `host[:port]` means; the port defaults to 80, also where nothing is behind its colon (RFC 3986,
  /// section 3.2.3), except for CONNECT, which must name it.
  func cluster(authority: UnsafeBufferPointer<UInt8>, isConnect: Bool) -> Int32? {
    var end = authority.count
    var port: UInt32 = isConnect ? 0 : 80
    if let colon = lastColon(authority) {
      var index = colon &+ 1
      if index < end { port = 0 }
      while index < end {
        let digit = authority[index] &- 48
        guard digit < 10, port < 65_536 else { return nil }
        port = port &* 10 &+ UInt32(digit)
        index &+= 1
      }
      end = colon
    }
    if end > 0, authority[end &- 1] == UInt8(ascii: ".") { end &-= 1 }
    guard end > 0, end <= 253, port > 0, port < 65_536 else { return nil }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var index = 0
    while index < end {
      hash = (hash ^ UInt64(lower(authority[index]))) &* 0x100_0000_01b3
      index &+= 1
    }
    return find(authority, end, hash, UInt16(truncatingIfNeeded: port))
  }

  private func find(_ name: UnsafeBufferPointer<UInt8>, _ count: Int, _ hash: UInt64, _ port: UInt16) -> Int32? {
    var place = Int(truncatingIfNeeded: hash) & mask
    while slots[place].length > 0 {
      let slot = slots[place]
      if slot.hash == hash, Int(slot.length) == count, equals(name, count, text + Int(slot.offset)) {
        for index in Int(slot.ports)..<Int(slot.ports &+ slot.portCount) where ports[index].port == port {
          return ports[index].cluster
        }
        return nil
      }
      place = (place &+ 1) & mask
    }
    return nil
  }

  private func equals(_ name: UnsafeBufferPointer<UInt8>, _ count: Int, _ other: UnsafePointer<UInt8>) -> Bool {
    var index = 0
    while index < count {
      if lower(name[index]) != other[index] { return false }
      index &+= 1
    }
    return true
  }

  private func lower(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 32 : byte }

  private func lastColon(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    var index = bytes.count
    while index > 0 {
      index &-= 1
      if bytes[index] == UInt8(ascii: ":") { return index }
      if bytes[index] == UInt8(ascii: "]") { return nil }
    }
    return nil
  }
}
