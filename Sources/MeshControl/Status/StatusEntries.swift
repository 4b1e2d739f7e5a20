extension MeshIndex {
  /// A status that has an entry for each object referred to (`parents` of routes, `ancestors` of policies: GEP-713). What
  /// other controllers have written about objects of their own stays, and so do the times of what has not changed.
  ///
  /// - Parameters:
  ///   - list: the status' field.
  ///   - member: the field of an entry that has the reference.
  func status(
    _ list: String, _ member: String, before: Value?, generation: Int?, now: Timestamp,
    own: [(reference: Value, conditions: [Condition])]
  ) -> Value {
    let existing = before?[list]?.elements ?? []
    let foreign = existing.filter { $0["controllerName"]?.text != controllerName }
    let entries = own.map { reference, conditions in
      let previous = existing.first { $0["controllerName"]?.text == controllerName && $0[member] == reference }
      return Value.object([
        Value.Member(member, reference), Value.Member("controllerName", .string(controllerName)),
        Value.Member(
          "conditions",
          .list(
            conditions.map {
              $0.written(generation: generation ?? 1, previous: previous?["conditions"]?.elements ?? [], now: now)
            })),
      ])
    }
    return .object([Value.Member(list, .list(entries + foreign))])
  }
}
