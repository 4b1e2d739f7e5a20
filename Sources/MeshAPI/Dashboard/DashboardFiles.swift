// Unsafe by design: the files are constants of the program.
import CDashboard
import HTTPTypes
import Hummingbird
import NIOCore

/// The dashboard's own files, served without a token: they hold no data.
enum DashboardFiles {
  /// The answer for a path below `/dashboard`; nil where there is no such file.
  static func answer(_ path: String, method: HTTPRequest.Method) -> Response? {
    guard path == "/dashboard" || path.hasPrefix("/dashboard/") else { return nil }
    if path == "/dashboard" {
      return Response(status: .permanentRedirect, headers: [.location: "/dashboard/"])
    }
    guard method == .get || method == .head else { return Response(status: .methodNotAllowed) }
    let name = path.dropFirst("/dashboard/".count)
    guard let file = file(named: name.isEmpty ? "index.html" : String(name)) else {
      return APIResponder.text("there is no such file\n", code: 404)
    }
    var headers = protection
    headers[.contentType] = file.contentType
    return Response(
      status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: file.bytes)))
  }

  private static func file(named name: String) -> (contentType: String, bytes: UnsafeBufferPointer<UInt8>)? {
    var number = 0
    while true {
      let file = cdb_file_at(number)
      guard let own = file.name, let type = file.content_type, let bytes = file.bytes else { return nil }
      if String(cString: own) == name {
        return (String(cString: type), UnsafeBufferPointer(start: bytes, count: file.count))
      }
      number += 1
    }
  }

  /// Nothing from elsewhere, nothing inline, in nobody's frame.
  private static var protection: HTTPFields {
    var fields = HTTPFields()
    fields[.contentSecurityPolicy] =
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
      + "form-action 'none'; frame-ancestors 'none'"
    fields[.xContentTypeOptions] = "nosniff"
    fields[.cacheControl] = "no-cache"
    for (name, value) in [
      ("referrer-policy", "no-referrer"), ("cross-origin-opener-policy", "same-origin"),
      ("cross-origin-resource-policy", "same-origin"),
    ] {
      if let name = HTTPField.Name(name) { fields[name] = value }
    }
    return fields
  }
}
