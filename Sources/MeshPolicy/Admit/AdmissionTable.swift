// Unsafe by design: compiled once into memory that the traffic path reads.
package import MeshModel

/// Whose requests a compiled limit counts together.
package enum CompiledLimitKey: UInt8, Sendable, BitwiseCopyable {
  case everyone, identity, sourceAddress, header
}

/// A rate limit as the traffic path reads it; ranges are relative to `AdmissionView.bytes`.
package struct CompiledLimit: Sendable, BitwiseCopyable {
  package var settings: RateLimitSettings
  package var key: CompiledLimitKey
  /// The header's name in lower case where `key` is `header`.
  package var header: ByteRange
  package var known: KnownHeader
  package var policy: ByteRange
  package var name: ByteRange
  /// `namespace/name/limit`: policy and name in one, for people who ask who decided.
  package var label: ByteRange
  /// Index of its condition; -1 where it is about every request.
  package var condition: Int32
  /// Whether all proxies of the mesh share it.
  package var isShared: Bool
}

/// Faults as the traffic path reads them.
package struct CompiledFault: Sendable, BitwiseCopyable {
  package var settings: FaultSettings
  package var policy: ByteRange
  /// Index of its condition; -1 where it is about every request.
  package var condition: Int32
}

/// `AdmissionRules` compiled for the traffic path. Owns the memory that its `view` reads.
package final class AdmissionTable: Sendable {
  /// Valid while this object lives.
  package let view: AdmissionView
  private let store: FrozenStore
  private let conditions: [RouteTable]

  /// - Throws: every condition that cannot be compiled, with its path.
  package init(_ rules: AdmissionRules) throws(RouteTableError) {
    var bytes: [UInt8] = []
    func intern(_ text: String) -> ByteRange {
      let range = ByteRange(offset: UInt32(clamping: bytes.count), length: UInt32(clamping: text.utf8.count))
      bytes += text.utf8
      return range
    }
    var tables: [RouteTable] = []
    func condition(_ matches: [RouteMatch]) throws(RouteTableError) -> Int32 {
      if matches.isEmpty { return -1 }
      let origin = RouteOrigin(namespace: "", name: "", createdSeconds: 0, ruleIndex: 0)
      let rule = RouteRule(origin: origin, matches: matches, action: .respond(DirectAnswer(status: 200)))
      tables.append(try RouteTable([rule]) { _ in .unusable(.backendNotFound) })
      return Int32(clamping: tables.count - 1)
    }
    var limits: [CompiledLimit] = []
    for rule in rules.limits {
      let label = intern("\(rule.policy)/\(rule.name)")
      let length = UInt32(clamping: rule.policy.utf8.count)
      var limit = CompiledLimit(
        settings: rule.settings, key: .everyone, header: .empty, known: .other,
        policy: ByteRange(offset: label.offset, length: length),
        name: ByteRange(offset: label.offset + length + 1, length: label.length - length - 1), label: label,
        condition: try condition(rule.matches), isShared: !rule.quota.isEmpty)
      switch rule.key {
      case .everyone: limit.key = .everyone
      case .identity: limit.key = .identity
      case .sourceAddress: limit.key = .sourceAddress
      case .header(let name):
        limit.key = .header
        limit.header = intern(name.lowercased())
        limit.known = KnownHeader.named(name.lowercased())
      }
      limits.append(limit)
    }
    var faults: [CompiledFault] = []
    for rule in rules.faults {
      faults.append(
        CompiledFault(
          settings: rule.settings, policy: intern(rule.policy), condition: try condition(rule.matches)))
    }
    store = FrozenStore()
    conditions = tables
    view = AdmissionView(
      bytes: store.freeze(bytes).baseAddress.unsafelyUnwrapped, limits: store.freeze(limits),
      faults: store.freeze(faults), conditions: store.freeze(tables.map(\.view)))
  }
}

/// An `AdmissionTable` as plain pointers.
package struct AdmissionView: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: it points at memory that is never written after compilation.
  /// What all ranges are relative to.
  package let bytes: UnsafePointer<UInt8>
  package let limits: UnsafeBufferPointer<CompiledLimit>
  package let faults: UnsafeBufferPointer<CompiledFault>
  let conditions: UnsafeBufferPointer<RouteTableView>

  /// The text of a range.
  package func text(_ range: ByteRange) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: bytes + Int(range.offset), count: Int(range.length))
  }

  /// Whether the request is one that a limit or fault with this condition is about.
  package func applies(_ condition: Int32, _ head: borrowing MessageHead) -> Bool {
    guard condition >= 0, Int(condition) < conditions.count else { return true }
    return !conditions[Int(condition)].match(head).isNone
  }

  /// The number of the header's value by which the limit counts; that of an empty text where the header is not there.
  package func headerKey(_ limit: CompiledLimit, _ head: borrowing MessageHead) -> UInt64 {
    guard let value = HeaderSearch.first(text(limit.header), limit.known, head) else {
      return KeyHash.of(UnsafeBufferPointer(start: bytes, count: 0))
    }
    return KeyHash.of(head.bytes(value))
  }

  /// What the first fault that the request matches says.
  package func fault(_ head: borrowing MessageHead, _ random: inout FastRandom) -> (FaultDecision, policy: ByteRange)? {
    var index = 0
    while index < faults.count {
      let fault = faults[index]
      index &+= 1
      if applies(fault.condition, head) { return (FaultDecision.draw(fault.settings, &random), fault.policy) }
    }
    return nil
  }
}

/// Finds fields and cookies of a head by names that come from configuration.
package enum HeaderSearch {
  /// The value of the first field of this name, which is in lower case.
  package static func first(
    _ name: UnsafeBufferPointer<UInt8>, _ known: KnownHeader, _ head: borrowing MessageHead
  ) -> ByteRange? {
    guard let wanted = name.baseAddress else { return nil }
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      if known != .other {
        if field.known == known { return field.value }
      } else if Int(field.name.length) == name.count,
        equalsIgnoringCase(head.base + Int(field.name.offset), wanted, name.count)
      {
        return field.value
      }
    }
    return nil
  }

  /// The value of the first cookie of this name (RFC 6265, 5.4): several `Cookie` fields are looked through, as HTTP/2
  /// splits them.
  package static func cookie(_ name: UnsafeBufferPointer<UInt8>, _ head: borrowing MessageHead) -> ByteRange? {
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      guard field.known == .cookie else { continue }
      if let found = cookie(name, in: head.bytes(field.value)) {
        return ByteRange(offset: field.value.offset &+ found.offset, length: found.length)
      }
    }
    return nil
  }

  /// Where in `name=value; name=value` the value of `name` lies.
  private static func cookie(
    _ name: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>
  ) -> ByteRange? {
    var start = 0
    while start < text.count {
      while start < text.count, text[start] == 32 || text[start] == 59 { start &+= 1 }
      var end = start
      while end < text.count, text[end] != 59 { end &+= 1 }
      let length = name.count
      if end &- start > length, text[start &+ length] == 61 {
        var position = 0
        while position < length, text[start &+ position] == name[position] { position &+= 1 }
        if position == length {
          return ByteRange(
            offset: UInt32(truncatingIfNeeded: start &+ length &+ 1),
            length: UInt32(truncatingIfNeeded: end &- start &- length &- 1))
        }
      }
      start = end &+ 1
    }
    return nil
  }
}
