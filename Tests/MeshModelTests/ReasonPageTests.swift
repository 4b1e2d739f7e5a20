import Foundation
import MeshModel
import Testing

/// `docs/reasons.md` is written from the code. With APUS_UPDATE_GOLDEN set the page is written anew, to be read before it
/// is committed.
@Suite struct ReasonPageTests {
  private static let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("docs/reasons.md")

  private static var text: String {
    var lines = [
      "# Reasons", "",
      "Everything that the mesh itself refuses, ends or answers has one of these reasons: in the header `x-apus-reason`, in the",
      "label `error_reason` of the metrics, in the access log, and in `apus why`, which also names the object that decided. The",
      "list is written from the code (`Sources/MeshModel/Reason.swift`); a test compares them.", "",
      "*Status* is what the mesh answers with where it can answer; *flag* is the nearest of Envoy's response flags.",
      "",
    ]
    for reason in Reason.allCases {
      let status = reason.httpStatus.map { "\($0)" } ?? "–"
      let flag = reason.flag == .none ? "–" : "`\(reason.flag.code)`"
      lines += [
        "## `\(reason.name)`", "", "Status \(status), flag \(flag).", "", "\(reason.sentence)", "",
        "*What to do:* \(reason.remedy)",
        "",
      ]
    }
    return lines.dropLast().joined(separator: "\n") + "\n"
  }

  @Test func `the page of reasons is that of the code`() throws {
    if ProcessInfo.processInfo.environment["APUS_UPDATE_GOLDEN"] != nil {
      try Data(Self.text.utf8).write(to: Self.page)
    }
    #expect(String(decoding: try Data(contentsOf: Self.page), as: UTF8.self) == Self.text)
  }

  @Test func `every reason says what to do`() {
    for reason in Reason.allCases {
      #expect(!"\(reason.remedy)".isEmpty && "\(reason.sentence)".hasSuffix("."))
    }
  }
}
