import Foundation
import MeshWire
import Testing

/// The `.proto` files are for people and for programs in other languages; the program itself is written from the
/// `fields` of its messages. These tests keep the two from drifting apart.
@Suite struct ProtoAgreementTests {
  private let written: FieldRecorder
  private var declared: [String: [FieldDescription]] = [:]
  private var declaredEnums: [String: [String: UInt32]] = [:]

  init() throws {
    var recorder = FieldRecorder()
    try recorder.record(Snapshot.self)
    try recorder.record(AttachRequest.self)
    try recorder.record(AttachResponse.self)
    try recorder.record(DeltaDiscoveryRequest.self)
    try recorder.record(DeltaDiscoveryResponse.self)
    try recorder.record(RefusedResources.self)
    try recorder.record(CertificateRequestMessage.self)
    try recorder.record(CertificateResponseMessage.self)
    written = recorder
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("proto")
    let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
    for case let url as URL in files where url.pathExtension == "proto" {
      let file = ProtoFile(try String(contentsOf: url, encoding: .utf8))
      declared.merge(file.messages) { first, _ in first }
      declaredEnums.merge(file.enums) { first, _ in first }
    }
  }

  /// Public definitions have signed numbers where only those from zero up occur; both encode them alike.
  private static let signed = [
    "google.rpc.Status.code": "int32", "istio.v1.auth.IstioCertificateRequest.validityDuration": "int64",
  ]

  @Test func everyMessageIsDeclaredWithTheFieldsItIsWrittenWith() {
    for (message, fields) in written.messages where message != "google.protobuf.Any" {
      let expected = fields.map { field in
        FieldDescription(
          number: field.number, name: field.name, type: Self.signed["\(message).\(field.name)"] ?? field.type)
      }
      #expect(
        declared[message]?.sorted { $0.number < $1.number } == expected.sorted { $0.number < $1.number }, "\(message)")
    }
    #expect(written.messages.count > 35)
  }

  @Test func nothingIsDeclaredThatIsNotWritten() {
    #expect(Set(declared.keys).subtracting(written.messages.keys) == [])
    #expect(Set(declaredEnums.keys).subtracting(written.enums.keys) == [])
  }

  @Test func enumerationsHaveTheSameNamesAndNumbers() {
    for (name, values) in written.enums {
      let folded = Dictionary(uniqueKeysWithValues: values.map { ($0.key.lowercased(), $0.value) })
      let other = (declaredEnums[name] ?? [:]).map { ($0.key.lowercased(), $0.value) }
      #expect(Dictionary(uniqueKeysWithValues: other) == folded, "\(name)")
    }
  }

  @Test func aDifferenceWouldBeNoticed() {
    let file = ProtoFile(
      """
      package apus.v1;
      // A message.
      message TrustBundle {
        string trust_domain = 1; // with a remark
        repeated Other others = 3 [json_name = "OTHERS"];
      }
      enum MutualTLSMode {
        MUTUAL_TLS_MODE_STRICT = 0;
      }
      """)
    #expect(
      file.messages["apus.v1.TrustBundle"] == [
        FieldDescription(number: 1, name: "trustDomain", type: "string"),
        FieldDescription(number: 3, name: "OTHERS", type: "repeated apus.v1.Other"),
      ])
    #expect(file.messages["apus.v1.TrustBundle"] != written.messages["apus.v1.TrustBundle"])
    #expect(file.enums == ["apus.v1.MutualTLSMode": ["strict": 0]])
  }
}
