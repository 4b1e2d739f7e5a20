extension Value {
  /// The value after a merge patch (RFC 7396): members of the patch replace those of the same name, `null` takes a
  /// member away, and everything that is no object replaces what was there.
  package func merged(with patch: Value) -> Value {
    guard let changes = patch.members else { return patch }
    var result = members ?? []
    for change in changes {
      let index = result.firstIndex { $0.name == change.name }
      if change.value.isNull {
        if let index { result.remove(at: index) }
      } else if let index {
        result[index].value = result[index].value.merged(with: change.value)
      } else {
        result.append(Member(change.name, Value.null.merged(with: change.value)))
      }
    }
    return Value(.object(result), position: position)
  }

  /// The value after a strategic merge patch, as `kubectl apply` and `kubectl edit` send it for the kinds that they know
  /// themselves. Of those, one has a list that is merged by a key: the ports of a Service, by `port`. All else is as in
  /// a merge patch.
  package func strategicallyMerged(with patch: Value) -> Value {
    let result = merged(with: patch.withoutDirectives)
    guard self["kind"]?.text == "Service", let changes = patch["spec"]?["ports"]?.elements else { return result }
    let order = (patch["spec"]?["$setElementOrder/ports"]?.elements ?? []).compactMap { $0["port"] }
    let ports = Self.merge(self["spec"]?["ports"]?.elements ?? [], changes, key: "port", order: order)
    return result.merged(with: .object([Member("spec", .object([Member("ports", .list(ports))]))]))
  }

  /// Without the members that tell how to merge instead of what.
  private var withoutDirectives: Value {
    guard let members else { return self }
    let kept = members.filter { !$0.name.hasPrefix("$") }.map { Member($0.name, $0.value.withoutDirectives) }
    return Value(.object(kept), position: position)
  }

  private static func merge(_ old: [Value], _ changes: [Value], key: String, order: [Value]) -> [Value] {
    if changes.contains(where: { $0["$patch"]?.text == "replace" && $0[key] == nil }) {
      return changes.filter { $0[key] != nil }
    }
    var result = old
    for change in changes {
      let index = result.firstIndex { $0[key] != nil && $0[key] == change[key] }
      if change["$patch"]?.text == "delete" {
        if let index { result.remove(at: index) }
      } else if let index {
        result[index] = result[index].merged(with: change.withoutDirectives)
      } else {
        result.append(change.withoutDirectives)
      }
    }
    guard !order.isEmpty else { return result }
    func place(_ element: Value) -> Int { element[key].flatMap { order.firstIndex(of: $0) } ?? order.count }
    return result.enumerated().sorted { (place($0.element), $0.offset) < (place($1.element), $1.offset) }
      .map(\.element)
  }
}
