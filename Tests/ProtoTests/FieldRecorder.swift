import MeshWire

/// A field as either side describes it.
struct FieldDescription: Equatable, CustomStringConvertible {
  var number: UInt32
  /// The name in JSON.
  var name: String
  /// As the proto language writes it; message and enumeration types by their full name.
  var type: String

  var description: String { "\(type) \(name) = \(number)" }
}

/// Walks a message and all messages that it can hold, and notes their fields.
struct FieldRecorder: WireCoder {
  private(set) var messages: [String: [FieldDescription]] = [:]
  private(set) var enums: [String: [String: UInt32]] = [:]
  private var fields: [FieldDescription] = []

  /// Names that differ from `apus.v1.` with the type's own name behind it.
  private static let names = [
    "AnyMessage": "google.protobuf.Any", "XDSNode": "envoy.config.core.v3.Node", "RPCStatus": "google.rpc.Status",
    "DeltaDiscoveryRequest": "envoy.service.discovery.v3.DeltaDiscoveryRequest",
    "DiscoveredResource": "envoy.service.discovery.v3.Resource",
    "DeltaDiscoveryResponse": "envoy.service.discovery.v3.DeltaDiscoveryResponse",
    "CertificateRequestMessage": "istio.v1.auth.IstioCertificateRequest",
    "CertificateResponseMessage": "istio.v1.auth.IstioCertificateResponse", "WorkloadConfig": "apus.v1.Workload",
  ]

  private static func name<T>(of type: T.Type) -> String { names["\(type)"] ?? "apus.v1.\(type)" }

  mutating func record<M: WireMessage>(_ type: M.Type) throws(WireError) {
    let name = Self.name(of: type)
    guard messages[name] == nil else { return }
    messages[name] = []
    let outer = fields
    fields = []
    var message = M()
    try message.fields(&self)
    messages[name] = fields
    fields = outer
  }

  private mutating func note(_ number: UInt32, _ name: StaticString, _ type: String) {
    fields.append(FieldDescription(number: number, name: "\(name)", type: type))
  }

  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout String) { note(number, name, "string") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Bool) { note(number, name, "bool") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32) { note(number, name, "uint32") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt64) { note(number, name, "uint64") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout Double) { note(number, name, "double") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout UInt32?) {
    note(number, name, "optional uint32")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt8]) { note(number, name, "bytes") }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String]) {
    note(number, name, "repeated string")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [UInt32]) {
    note(number, name, "repeated uint32")
  }
  mutating func field(_ number: UInt32, _ name: StaticString, _ value: inout [String: String]) {
    note(number, name, "map<string, string>")
  }
  mutating func field<E: WireEnum>(_ number: UInt32, _ name: StaticString, _ value: inout E) {
    let type = Self.name(of: E.self)
    enums[type] = Dictionary(uniqueKeysWithValues: E.allCases.map { ($0.wireName, $0.rawValue) })
    note(number, name, type)
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout M?) throws(WireError) {
    note(number, name, Self.name(of: M.self))
    try record(M.self)
  }
  mutating func field<M: WireMessage>(_ number: UInt32, _ name: StaticString, _ value: inout [M]) throws(WireError) {
    note(number, name, "repeated " + Self.name(of: M.self))
    try record(M.self)
  }
}
