import MeshModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// Conditions on header fields and query parameters.

extension RouteTableView {
  func allHeaders(_ slice: TableSlice, _ head: borrowing MessageHead, _ places: inout FieldPlaces) -> Bool {
    var index = Int(slice.start)
    let end = index &+ Int(slice.count)
    while index < end {
      let condition = conditions[index]
      let holds: Bool
      if condition.isAuthority {
        holds = holdsFor(head.bytes(head.authority), condition)
      } else if let place = place(of: condition, head, &places) {
        holds = place < 0 ? false : holdsFor(head.bytes(head.fields[place].value), condition)
      } else if condition.regex >= 0 {
        holds = headerMatches(condition, head)
      } else {
        holds = headerEquals(condition, head)
      }
      if !holds { return false }
      index &+= 1
    }
    return true
  }

  /// The index of the one field of the condition's name, -1 where there is none; nil where there are several, or the
  /// name is one that is not remembered.
  @inline(__always)
  private func place(
    of condition: NamedCondition, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> Int? {
    guard condition.place >= 0 else { return nil }
    var place = places.places[Int(condition.place)]
    if place == FieldPlaces.unknown {
      place = find(condition, head)
      places.places[Int(condition.place)] = place
    }
    return place == FieldPlaces.repeated ? nil : Int(place)
  }

  private func find(_ condition: NamedCondition, _ head: borrowing MessageHead) -> Int16 {
    var found = FieldPlaces.absent
    var index = 0
    while index < head.fieldCount {
      if isNamed(head.fields[index], condition, head.base) {
        if found >= 0 || index > Int(Int16.max) { return FieldPlaces.repeated }
        found = Int16(truncatingIfNeeded: index)
      }
      index &+= 1
    }
    return found
  }

  private func holdsFor(_ text: UnsafeBufferPointer<UInt8>, _ condition: NamedCondition) -> Bool {
    if condition.regex >= 0 { return programs[Int(condition.regex)].matches(text) }
    guard text.count == Int(condition.value.length), let start = text.baseAddress else { return false }
    let expected = expected(condition)
    // Values that differ mostly do so at the end: `v1` and `v2`.
    if text.count > 0, start[text.count &- 1] != expected[text.count &- 1] { return false }
    return memcmp(start, expected, text.count) == 0
  }

  private func expected(_ condition: NamedCondition) -> UnsafePointer<UInt8> { bytes + Int(condition.value.offset) }

  @inline(__always)
  private func isNamed(_ field: FieldRef, _ condition: NamedCondition, _ base: UnsafePointer<UInt8>) -> Bool {
    if condition.known != .other { return field.known == condition.known }
    return field.name.length == condition.name.length
      && equalsIgnoringCase(
        base + Int(field.name.offset), bytes + Int(condition.name.offset), Int(condition.name.length))
  }

  /// Fields of one name are compared as if they were one, joined by a comma (RFC 9110, 5.3) or, for cookies, by a
  /// semicolon and a space (RFC 9113, 8.2.3).
  private func headerEquals(_ condition: NamedCondition, _ head: borrowing MessageHead) -> Bool {
    let expected = expected(condition)
    let length = Int(condition.value.length)
    var position = 0
    var isFound = false
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      guard isNamed(field, condition, head.base) else { continue }
      if isFound {
        if condition.known == .cookie {
          guard length &- position >= 2, expected[position] == 59, expected[position &+ 1] == 32 else { return false }
          position &+= 2
        } else {
          guard position < length, expected[position] == 44 else { return false }
          position &+= 1
        }
      }
      isFound = true
      let count = Int(field.value.length)
      guard count <= length &- position,
        memcmp(head.base + Int(field.value.offset), expected + position, count) == 0
      else { return false }
      position &+= count
    }
    return isFound && position == length
  }

  private func headerMatches(_ condition: NamedCondition, _ head: borrowing MessageHead) -> Bool {
    var state = RegexState(programs[Int(condition.regex)])
    var isFound = false
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      guard isNamed(field, condition, head.base) else { continue }
      if isFound {
        state.feed(condition.known == .cookie ? 59 : 44)
        if condition.known == .cookie { state.feed(32) }
      }
      isFound = true
      state.feed(head.bytes(field.value))
    }
    return isFound && state.isAccepted
  }

  /// The hash of the value that a condition's header has in the request, its fields joined as they are compared; nil where
  /// there is none, or it is longer than any value that is wanted.
  func valueHash(
    _ condition: NamedCondition, longest: Int, _ head: borrowing MessageHead, _ places: inout FieldPlaces
  ) -> UInt64? {
    var hash = HeaderValueHash()
    if condition.isAuthority {
      let text = head.bytes(head.authority)
      guard text.count <= longest else { return nil }
      for byte in text { hash.feed(byte) }
      return hash.value
    }
    if let place = place(of: condition, head, &places) {
      guard place >= 0 else { return nil }
      let text = head.bytes(head.fields[place].value)
      guard text.count <= longest else { return nil }
      for byte in text { hash.feed(byte) }
      return hash.value
    }
    var length = -1
    var index = 0
    while index < head.fieldCount {
      let field = head.fields[index]
      index &+= 1
      guard isNamed(field, condition, head.base) else { continue }
      if length >= 0 {
        hash.feed(condition.known == .cookie ? 59 : 44)
        if condition.known == .cookie { hash.feed(32) }
        length &+= condition.known == .cookie ? 2 : 1
      }
      length = max(0, length) &+ Int(field.value.length)
      guard length <= longest else { return nil }
      for byte in head.bytes(field.value) { hash.feed(byte) }
    }
    return length >= 0 ? hash.value : nil
  }

  func allQuery(_ slice: TableSlice, _ head: borrowing MessageHead) -> Bool {
    let query = head.bytes(head.query)
    guard let start = query.baseAddress else { return false }
    var index = Int(slice.start)
    let end = index &+ Int(slice.count)
    while index < end {
      if !queryHolds(conditions[index], start, query.count) { return false }
      index &+= 1
    }
    return true
  }

  /// Tests the first parameter of the name, as Gateway API recommends where one is repeated. Names and values are
  /// compared with percent-encoding undone; a plus sign stands for itself.
  private func queryHolds(_ condition: NamedCondition, _ query: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var position = 0
    while position < count {
      var end = position
      if let separator = memchr(query + position, 38, count &- position) {
        end = UnsafeRawPointer(separator) - UnsafeRawPointer(query)
      } else {
        end = count
      }
      var split = end
      if let equals = memchr(query + position, 61, end &- position) {
        split = UnsafeRawPointer(equals) - UnsafeRawPointer(query)
      }
      if decodedEquals(query + position, split &- position, condition.name) {
        let value = min(split &+ 1, end)
        if condition.regex < 0 { return decodedEquals(query + value, end &- value, condition.value) }
        var state = RegexState(programs[Int(condition.regex)])
        var at = value
        while at < end { state.feed(decode(query, &at, end)) }
        return state.isAccepted
      }
      position = end &+ 1
    }
    return false
  }

  private func decodedEquals(_ text: UnsafePointer<UInt8>, _ count: Int, _ range: ByteRange) -> Bool {
    let expected = bytes + Int(range.offset)
    let length = Int(range.length)
    guard count >= length else { return false }
    var position = 0
    var at = 0
    while at < count {
      guard position < length, decode(text, &at, count) == expected[position] else { return false }
      position &+= 1
    }
    return position == length
  }

  /// The byte at `at`, with percent-encoding undone; `at` moves past it. What is not an encoding stands for itself.
  @inline(__always)
  private func decode(_ text: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> UInt8 {
    let byte = text[at]
    if byte == 37, end &- at >= 3, let high = nibble(text[at &+ 1]), let low = nibble(text[at &+ 2]) {
      at &+= 3
      return high << 4 | low
    }
    at &+= 1
    return byte
  }

  @inline(__always)
  private func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte &- 48
    case 65...70: byte &- 55
    case 97...102: byte &- 87
    default: nil
    }
  }
}
