package import ApusHTTP
import MeshControl

/// A refusal of the API: a Kubernetes `Status` object, or whatever else stood in the answer.
package struct APIStatus: Sendable, Equatable {
  /// One violation among those that `details.causes` lists.
  package struct Cause: Sendable, Equatable {
    package var field: String
    package var message: String
    package var reason: String
  }

  package var code: Int
  package var reason: String
  package var message: String
  package var causes: [Cause]

  package init(_ response: HTTPResponse) {
    code = response.status
    let value = (try? JSONReader.read(response.body)) ?? .null
    reason = value["reason"]?.text ?? ""
    let text = response.text.split(separator: "\n").first.map(String.init) ?? ""
    message = value["message"]?.text ?? (text.isEmpty ? "the answer has status \(response.status)" : text)
    causes = (value["details"]?["causes"]?.elements ?? []).map { cause in
      Cause(
        field: cause["field"]?.text ?? "", message: cause["message"]?.text ?? "",
        reason: cause["reason"]?.text ?? "")
    }
  }

  /// The refusal for people.
  package func failure(doing: String, tokenFile: String) -> CLIFailure {
    let details = causes.map { $0.field.isEmpty ? $0.message : "\($0.field): \($0.message)" }
    switch code {
    case 401, 403:
      return CLIFailure(
        .failed, "the control plane does not know this token (\(doing)): \(message)",
        hint: "it is read from \(tokenFile): is APUS_DATA the folder of this control plane?")
    case 404: return CLIFailure(.notFound, message, details: details)
    case 409:
      // Only what was written over something newer is mended so.
      let hint = reason == "Conflict" ? "read the object again and repeat the change" : nil
      return CLIFailure(.conflict, message, details: details, hint: hint)
    case 400, 413, 415, 422:
      return CLIFailure(.refused, Self.summary(message, details), details: details)
    default:
      return CLIFailure(.failed, "\(doing): \(message)", details: details)
    }
  }

  /// The message alone, where it only repeats the causes that are listed below it.
  private static func summary(_ message: String, _ details: [String]) -> String {
    guard !details.isEmpty else { return message }
    let count = details.count == 1 ? "1 violation" : "\(details.count) violations"
    return "nothing was changed: \(count)"
  }
}
