import ApusHTTP
import MeshControl

extension Get {
  /// How often what cannot be watched is asked for, and the shortest time between two watches.
  private static let interval = Duration.seconds(1)

  /// Shows the list, then each change, until the control plane goes away.
  func follow(
    _ list: Value, of target: ObjectName, with client: inout APIClient, in context: CLIContext
  ) throws(CLIFailure) {
    var feed = ChangeFeed(verb: self, target: target, context: context)
    for object in list["items"]?.elements ?? [] { feed.show("ADDED", object) }
    if target.kind == .workload {
      try poll(from: list, &feed, with: &client)
    } else {
      try watch(from: list["metadata"]?["resourceVersion"]?.scalarText ?? "0", &feed, with: &client)
    }
  }

  private func watch(
    from first: String, _ feed: inout ChangeFeed, with client: inout APIClient
  ) throws(CLIFailure) {
    var version = first
    while true {
      var refusal: CLIFailure?
      let path = path(of: feed.target, parameters: ["watch=true", "resourceVersion=\(version)"])
      try client.watch(path) { event in
        guard let type = event["type"]?.text, let object = event["object"] else { return true }
        if type == "ERROR" {
          refusal = CLIFailure(
            .failed, "the watch has ended: \(object["message"]?.text ?? "no reason given")", hint: "start it again")
          return false
        }
        version = object["metadata"]?["resourceVersion"]?.text ?? version
        if type != "BOOKMARK" { feed.show(type, object) }
        return true
      }
      if let refusal { throw refusal }
      Pause.sleep(Self.interval)
    }
  }

  /// Compares list with list, since discovery's workloads have no history to watch.
  private func poll(
    from first: Value, _ feed: inout ChangeFeed, with client: inout APIClient
  ) throws(CLIFailure) {
    func byID(_ list: Value) -> [String: Value] {
      let pairs = (list["items"]?.elements ?? []).map { ($0["metadata"]?["uid"]?.text ?? "", $0) }
      return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    }
    var known = byID(first)
    while true {
      Pause.sleep(Self.interval)
      let present = byID(try fetch(feed.target, with: &client))
      for (id, object) in present.sorted(by: { $0.key < $1.key }) where known[id] != object {
        feed.show(known[id] == nil ? "ADDED" : "MODIFIED", object)
      }
      for (id, object) in known.sorted(by: { $0.key < $1.key }) where present[id] == nil {
        feed.show("DELETED", object)
      }
      known = present
    }
  }
}

/// Writes changes as they come, under one title.
private struct ChangeFeed {
  let verb: Get
  let target: ObjectName
  let context: CLIContext
  private var hasTitle = false

  init(verb: Get, target: ObjectName, context: CLIContext) {
    self.verb = verb
    self.target = target
    self.context = context
  }

  mutating func show(_ type: String, _ object: Value) {
    if let name = target.name, object["metadata"]?["name"]?.text != name { return }
    switch verb.output {
    case .json:
      let event = Value.object([.init("type", .string(type)), .init("object", object)])
      context.output.write(event.json() + "\n")
    case .yaml:
      context.output.write("--- # \(type)\n" + YAMLWriter.text(object))
    case .table, .wide:
      var table = verb.table(target.kind, context).table(of: [object])
      table.columns.insert(Table.Column("CHANGE  "), at: 0)
      table.rows = table.rows.map { [type] + $0 }
      let lines = table.lines(maxWidth: verb.width(context))
      context.output.write(lines.dropFirst(hasTitle ? 1 : 0).joined(separator: "\n") + "\n")
      hasTitle = true
    }
  }
}

/// Labels that an object must have: `app=catalog,version=v1`.
struct LabelSelector {
  private let demands: [(name: String, value: String)]

  init(_ text: String) throws(CLIFailure) {
    var demands: [(name: String, value: String)] = []
    for part in text.split(separator: ",") {
      let words = part.split(separator: "=", omittingEmptySubsequences: true)
      guard words.count == 2, !part.contains("!") else {
        throw CLIFailure(
          .usage, "the selector \"\(text)\" is not understood here", hint: "write it like app=catalog,version=v1")
      }
      demands.append((String(words[0]), String(words[1])))
    }
    self.demands = demands
  }

  func matches(_ labels: Value?) -> Bool {
    demands.allSatisfy { labels?[$0.name]?.text == $0.value }
  }
}
