package import MeshModel

/// A header field to write.
package struct CompiledField: Sendable, BitwiseCopyable {
  /// Lower case.
  package var name: ByteRange
  package var value: ByteRange
  package var known: KnownHeader
}

/// Changes to a header block in the form that writing it out needs: which of the fields that are there to leave out,
/// and which to write after them. Ranges are relative to `RouteTableView.bytes`.
package struct CompiledEdit: Sendable, BitwiseCopyable {
  /// One bit for each `KnownHeader`, by raw value: those to leave out.
  package var droppedKnown: UInt64
  /// Index range in `RouteTableView.droppedNames`: the others to leave out, lower case.
  package var droppedNames: TableSlice
  /// Index range in `RouteTableView.fields`: what to write.
  package var appended: TableSlice
}

/// The net effect of changes on each name, so that the rule's and the backend's become one.
struct HeaderEffect {
  private struct Change {
    var drops = false
    var values: [String] = []
  }

  private var names: [String] = []
  private var changes: [String: Change] = [:]

  var isEmpty: Bool { names.isEmpty }

  /// Applies `modification` after what is there already.
  mutating func apply(_ modification: HeaderModification) {
    for name in modification.remove { edit(name) { $0 = Change(drops: true) } }
    for field in modification.set { edit(field.name) { $0 = Change(drops: true, values: [field.value]) } }
    for field in modification.add { edit(field.name) { $0.values.append(field.value) } }
  }

  private mutating func edit(_ name: String, _ body: (inout Change) -> Void) {
    let key = name.lowercased()
    if changes[key] == nil { names.append(key) }
    body(&changes[key, default: Change()])
  }

  /// The names in the order first mentioned, with what becomes of each.
  var result: [(name: String, drops: Bool, values: [String])] {
    names.map { name in
      let change = changes[name] ?? Change()
      return (name, change.drops, change.values)
    }
  }
}

extension RouteTableView {
  /// Whether `edit` leaves out the field `field`, whose ranges are relative to `base`.
  package func drops(_ edit: CompiledEdit, _ field: FieldRef, base: UnsafePointer<UInt8>) -> Bool {
    if field.known != .other {
      return edit.droppedKnown & (1 << UInt64(field.known.rawValue)) != 0
    }
    var index = Int(edit.droppedNames.start)
    let end = index &+ Int(edit.droppedNames.count)
    while index < end {
      let name = droppedNames[index]
      if name.length == field.name.length,
        equalsIgnoringCase(base + Int(field.name.offset), bytes + Int(name.offset), Int(name.length))
      {
        return true
      }
      index &+= 1
    }
    return false
  }
}

/// Whether `count` bytes are the same, ASCII case apart; `lower` is in lower case already.
@inline(__always)
func equalsIgnoringCase(_ bytes: UnsafePointer<UInt8>, _ lower: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  var index = 0
  while index < count {
    let byte = bytes[index]
    let folded = byte &- 65 < 26 ? byte | 32 : byte
    if folded != lower[index] { return false }
    index &+= 1
  }
  return true
}
