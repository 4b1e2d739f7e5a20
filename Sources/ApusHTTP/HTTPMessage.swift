/// One field of a message's head.
package struct HTTPField: Sendable, Equatable {
  package var name: String
  package var value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension [HTTPField] {
  /// The value of the first field of that name, letters' case aside.
  package subscript(name: String) -> String? {
    let wanted = name.lowercased()
    return first { $0.name.lowercased() == wanted }?.value
  }
}

/// A request with its whole body.
package struct HTTPRequest: Sendable, Equatable {
  package var method: String
  /// As it stands in the request line: a path with its query, or a whole URL for a forward proxy.
  package var target: String
  /// Without `host`, `content-length` and `connection`, which are made when the request is sent.
  package var fields: [HTTPField]
  package var body: [UInt8]

  package init(method: String, target: String, fields: [HTTPField] = [], body: [UInt8] = []) {
    self.method = method
    self.target = target
    self.fields = fields
    self.body = body
  }

  /// The path of the target, without the query.
  package var path: String { String(target.prefix { $0 != "?" }) }

  /// The query's parameters, percent-decoded; the last one of a name counts.
  package var query: [String: String] {
    guard let mark = target.firstIndex(of: "?") else { return [:] }
    var found: [String: String] = [:]
    for pair in target[target.index(after: mark)...].split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first else { continue }
      found[PercentCoding.decode(name)] = parts.count > 1 ? PercentCoding.decode(parts[1]) : ""
    }
    return found
  }
}

/// A response with its whole body.
package struct HTTPResponse: Sendable, Equatable {
  package var status: Int
  package var fields: [HTTPField]
  package var body: [UInt8]

  package init(status: Int, fields: [HTTPField] = [], body: [UInt8] = []) {
    self.status = status
    self.fields = fields
    self.body = body
  }

  package init(status: Int, contentType: String, text: String) {
    self.init(status: status, fields: [HTTPField("content-type", contentType)], body: Array(text.utf8))
  }

  package var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why an exchange did not come about.
package enum HTTPFailure: Error, Sendable, Equatable {
  /// No connection: nobody listens there, or the name is not known. The text is the system's.
  case unreachable(HTTPAddress, String)
  /// Nothing came within the bound.
  case timedOut
  /// The peer closed the connection before the message was whole.
  case closed
  /// What came is no HTTP/1.1 message.
  case malformed(String)
  /// The message is over the bound of its reader.
  case tooLarge(limitBytes: Int)
  /// The system refused an operation on the socket.
  case socket(String)

  /// A clause for people.
  package var message: String {
    switch self {
    case .unreachable(let address, let text): "cannot connect to \(address): \(text)"
    case .timedOut: "no answer in time"
    case .closed: "the connection was closed before the message was whole"
    case .malformed(let text): "the answer is not HTTP/1.1: \(text)"
    case .tooLarge(let limit): "the message is over \(limit) bytes"
    case .socket(let text): text
    }
  }
}

/// Percent-encoding of RFC 3986.
package enum PercentCoding {
  /// Every byte but the unreserved ones is encoded, so that the result may stand anywhere in a path or a query.
  package static func encode(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        bytes.append(byte)
      default:
        bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// `%XX` becomes its byte, `+` a space; what is no such sequence stays as it is.
  package static func decode(_ text: some StringProtocol) -> String {
    let source = Array(text.utf8)
    var bytes: [UInt8] = []
    var index = 0
    while index < source.count {
      if source[index] == UInt8(ascii: "%"), index + 2 < source.count,
        let byte = UInt8(String(decoding: source[index + 1...index + 2], as: UTF8.self), radix: 16)
      {
        bytes.append(byte)
        index += 3
      } else {
        bytes.append(source[index] == UInt8(ascii: "+") ? UInt8(ascii: " ") : source[index])
        index += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
