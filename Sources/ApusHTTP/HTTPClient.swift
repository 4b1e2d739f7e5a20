/// A blocking HTTP/1.1 client for the loopback: one connection, kept between requests.
///
/// The command line asks one thing after another and the parent of a workload must stay small and own its thread, so that
/// an event loop with its threads would only be in the way.
package struct HTTPClient: ~Copyable {
  /// Where connections go.
  package let address: HTTPAddress
  /// What `host` says; the address where it is absent. A forward proxy is connected to under another name.
  package let authority: String
  /// Bounds connecting and each wait for bytes.
  package let timeout: Duration
  private var kept: MessageReader?

  /// - Parameter timeout: default 10 s.
  package init(address: HTTPAddress, authority: String? = nil, timeout: Duration = .seconds(10)) {
    self.address = address
    self.authority = authority ?? address.description
    self.timeout = timeout
  }

  /// Sends a request and reads the whole answer. Where a kept connection turns out to be closed before anything of the
  /// answer came, the request is sent once more on a new one.
  package mutating func send(_ request: HTTPRequest) throws(HTTPFailure) -> HTTPResponse {
    let bytes = encode(request)
    if let connection = kept.take() {
      do {
        return try exchange(bytes, method: request.method, on: connection)
      } catch .closed {
        // Closed while it was idle: the new connection below decides.
      }
    }
    let connection = MessageReader(try Socket.connect(to: address, timeout: timeout))
    return try exchange(bytes, method: request.method, on: connection)
  }

  /// Sends a request and gives each line of a successful answer as it comes, with no bound on the time between them.
  /// - Returns: the whole answer where its status is not 2xx, else nil when the stream has ended.
  package mutating func stream(
    _ request: HTTPRequest, _ take: (String) -> Bool
  ) throws(HTTPFailure) -> HTTPResponse? {
    var connection = MessageReader(try Socket.connect(to: address, timeout: timeout))
    try connection.socket.write(encode(request))
    let (status, head) = try connection.nextResponseHead()
    guard (200..<300).contains(status) else {
      var text: [UInt8] = []
      try connection.forEachLine(of: head) { line in
        text += Array(line.utf8)
        return true
      }
      return HTTPResponse(status: status, fields: head.fields, body: text)
    }
    try connection.socket.setTimeout(.zero)
    try connection.forEachLine(of: head, take)
    return nil
  }

  private mutating func exchange(
    _ bytes: [UInt8], method: String, on connection: consuming MessageReader
  ) throws(HTTPFailure) -> HTTPResponse {
    try connection.socket.write(bytes)
    let response = try connection.nextResponse(to: method)
    let isDelimited = response.fields["content-length"] != nil || response.fields["transfer-encoding"] != nil
    if isDelimited, response.fields["connection"]?.lowercased() != "close" { kept = consume connection }
    return response
  }

  private func encode(_ request: HTTPRequest) -> [UInt8] {
    var head = "\(request.method) \(request.target) HTTP/1.1\r\nhost: \(authority)\r\n"
    for field in request.fields { head += "\(field.name): \(field.value)\r\n" }
    if !request.body.isEmpty || request.method == "POST" || request.method == "PUT" {
      head += "content-length: \(request.body.count)\r\n"
    }
    return Array((head + "\r\n").utf8) + request.body
  }
}
