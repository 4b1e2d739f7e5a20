// Unsafe by design: heads are written straight into the output buffer.
public import MeshModel

/// Writes heads and chunk framing into memory given by the caller. A plain value: no allocation, no copy of the buffer.
///
/// What does not fit is not written, and neither is anything after it (`FixedWriter`): look at `overflowed` once at the
/// end, and throw the output away if it is set.
@frozen
public struct HTTP1Writer {
  /// Where it all goes.
  @usableFromInline
  var output: FixedWriter

  /// Bytes written so far.
  @inlinable @inline(__always)
  public var count: Int { output.count }

  /// Whether something did not fit.
  @inlinable @inline(__always)
  public var overflowed: Bool { output.overflowed }

  /// A writer over `capacity` bytes at `start`.
  @inlinable
  public init(_ start: UnsafeMutablePointer<UInt8>, capacity: Int) {
    output = FixedWriter(base: start, capacity: capacity)
  }

  /// Bytes as they are.
  @inlinable @inline(__always)
  public mutating func bytes(_ source: UnsafePointer<UInt8>, _ length: Int) {
    output.append(source, count: length)
  }

  /// Bytes as they are.
  @inlinable
  public mutating func bytes(_ source: UnsafeBufferPointer<UInt8>) {
    output.append(source)
  }

  /// What `body` writes into the room that is left.
  package mutating func fields(_ body: (inout FixedWriter) -> Void) {
    body(&output)
  }

  /// Constant text.
  @inlinable @inline(__always)
  public mutating func text(_ text: StaticString) { bytes(text.utf8Start, text.utf8CodeUnitCount) }

  /// One byte.
  @inlinable @inline(__always)
  public mutating func byte(_ byte: UInt8) {
    output.append(byte)
  }

  /// A number in decimal digits.
  @inlinable
  public mutating func decimal(_ number: UInt64) {
    output.append(decimal: number)
  }

  /// The line that begins a chunk of `size` bytes of data; CR LF must follow the data.
  @inlinable
  public mutating func chunkHeader(_ size: UInt64) {
    var shift = size == 0 ? 0 : (63 &- size.leadingZeroBitCount) & ~3
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: size &>> UInt64(shift)) & 15
      byte(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
      shift &-= 4
    }
    endOfLine()
  }

  /// CR LF; also the end of a head.
  @inlinable @inline(__always)
  public mutating func endOfLine() {
    byte(0x0D)
    byte(0x0A)
  }

  /// `method SP target SP HTTP/1.1 CRLF`, the target being `path?query` in their canonical form.
  package mutating func requestLine(_ head: MessageHead) {
    bytes(head.start(head.method), head.method.size)
    byte(0x20)
    bytes(head.start(head.path), head.path.size)
    if head.query.size > 0 {
      byte(0x3F)
      bytes(head.start(head.query), head.query.size)
    }
    text(" HTTP/1.1\r\n")
  }

  /// `HTTP/1.1 SP status SP phrase CRLF`.
  package mutating func statusLine(_ status: UInt16) {
    text("HTTP/1.1 ")
    decimal(UInt64(status))
    byte(0x20)
    text(StatusPhrase.of(status))
    endOfLine()
  }

  /// A field with an interned name, written in lower case.
  @inlinable @inline(__always)
  public mutating func field(_ name: KnownHeader, _ value: UnsafeBufferPointer<UInt8>) {
    text(name.name)
    text(": ")
    bytes(value)
    endOfLine()
  }

  /// A field with a constant value.
  @inlinable @inline(__always)
  public mutating func field(_ name: KnownHeader, _ value: StaticString) {
    text(name.name)
    text(": ")
    text(value)
    endOfLine()
  }

  /// A field with a number.
  package mutating func field(_ name: KnownHeader, _ value: UInt64) {
    text(name.name)
    text(": ")
    decimal(value)
    endOfLine()
  }

  /// A field with any name. Name and value must have come from a parsed head or from checked configuration.
  package mutating func field(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
    bytes(name)
    text(": ")
    bytes(value)
    endOfLine()
  }

  /// One field of a head.
  @inlinable @inline(__always)
  public mutating func field(_ field: FieldRef, of head: MessageHead) {
    bytes(head.base + Int(field.name.offset), Int(field.name.length))
    text(": ")
    bytes(head.base + Int(field.value.offset), Int(field.value.length))
    endOfLine()
  }

  /// The fields of a head that are not in `dropped`, one by one; for heads of HTTP/2, whose fields do not lie in lines.
  package mutating func fieldLines(of head: MessageHead, except dropped: FieldSet) {
    var index = 0
    while index < head.fieldCount {
      if !dropped.contains(index) { field(head.fields[index], of: head) }
      index &+= 1
    }
  }

  /// The fields of an HTTP/1 head that are not in `dropped`, as they were received. Field lines that lie side by side
  /// are copied in one go.
  ///
  /// - Parameter fieldsEnd: where the fields end, from the info of the same head.
  package mutating func fields(of head: MessageHead, except dropped: FieldSet, fieldsEnd: UInt32) {
    var index = 0
    while index < head.fieldCount {
      if dropped.contains(index) {
        index &+= 1
        continue
      }
      let from = head.fields[index].name.offset
      repeat { index &+= 1 } while index < head.fieldCount && !dropped.contains(index)
      let to = index < head.fieldCount ? head.fields[index].name.offset : fieldsEnd
      guard to >= from else { return }
      bytes(head.base + Int(from), Int(to &- from))
    }
  }
}

/// The reason phrases of the registry that RFC 9110, section 15, sets up.
package enum StatusPhrase {
  /// The phrase for a status; a general word for one that is not in the registry.
  package static func of(_ status: UInt16) -> StaticString {
    switch status {
    case 100: "Continue"
    case 101: "Switching Protocols"
    case 102: "Processing"
    case 103: "Early Hints"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 203: "Non-Authoritative Information"
    case 204: "No Content"
    case 205: "Reset Content"
    case 206: "Partial Content"
    case 207: "Multi-Status"
    case 208: "Already Reported"
    case 226: "IM Used"
    case 300: "Multiple Choices"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 305: "Use Proxy"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 402: "Payment Required"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 406: "Not Acceptable"
    case 407: "Proxy Authentication Required"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 410: "Gone"
    case 411: "Length Required"
    case 412: "Precondition Failed"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 415: "Unsupported Media Type"
    case 416: "Range Not Satisfiable"
    case 417: "Expectation Failed"
    case 421: "Misdirected Request"
    case 422: "Unprocessable Content"
    case 423: "Locked"
    case 424: "Failed Dependency"
    case 425: "Too Early"
    case 426: "Upgrade Required"
    case 428: "Precondition Required"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 451: "Unavailable For Legal Reasons"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    case 506: "Variant Also Negotiates"
    case 507: "Insufficient Storage"
    case 508: "Loop Detected"
    case 511: "Network Authentication Required"
    default: status < 400 ? "OK" : "Error"
    }
  }
}
