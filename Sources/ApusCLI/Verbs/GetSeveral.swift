import ApusHTTP
import MeshControl

extension Get {
  /// The kinds of `services,httproutes`, or of `all`; nil where the text names one kind.
  static func several(_ text: String) throws(CLIFailure) -> [KindInfo]? {
    if text.lowercased() == "all" { return KindInfo.readable }
    guard text.contains(",") else { return nil }
    var kinds: [KindInfo] = []
    for name in text.split(separator: ",") {
      let kind = try KindInfo.named(String(name))
      if !kinds.contains(kind) { kinds.append(kind) }
    }
    return kinds
  }

  /// Shows the objects of several kinds: a table for each that has any, or one list.
  func showAll(
    of kinds: [KindInfo], with client: inout APIClient, in context: CLIContext
  ) throws(CLIFailure) {
    if name != nil { throw CLIFailure(.usage, "a name goes with one kind", hint: "write apus get service catalog") }
    if watch { throw CLIFailure(.usage, "--watch follows one kind", hint: "name the kind to follow") }
    var found: [(kind: KindInfo, objects: [Value])] = []
    for kind in kinds {
      let list = try fetch(ObjectName(kind: kind, name: nil), with: &client)
      found.append((kind, list["items"]?.elements ?? []))
    }
    switch output {
    case .json: context.output.write(PrettyJSON.text(Self.list(of: found.flatMap(\.objects))))
    case .yaml: context.output.write(YAMLWriter.text(Self.list(of: found.flatMap(\.objects))))
    case .table, .wide:
      let tables = found.filter { !$0.objects.isEmpty }.map { kind, objects in
        // The name as one would write it to have the object alone.
        let column = namespaces.allNamespaces ? 1 : 0
        var table = table(kind, context).table(of: objects)
        for row in table.rows.indices { table.rows[row][column] = "\(kind.singular)/\(table.rows[row][column])" }
        return table.text(maxWidth: width(context))
      }
      if tables.isEmpty { context.errors.write("Nothing \(place).\n") }
      context.output.write(tables.joined(separator: "\n"))
    }
  }

  private static func list(of objects: [Value]) -> Value {
    .object([
      .init("apiVersion", .string("v1")), .init("kind", .string("List")), .init("items", .list(objects)),
    ])
  }

  /// Where was looked, in words.
  var place: String { namespaces.listed.map { "in namespace \($0)" } ?? "in any namespace" }
}
