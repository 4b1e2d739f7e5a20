/// Writing of the few ASN.1 structures that the mesh makes itself (X.690, distinguished encoding).
package enum DER {
  /// One value: its tag, its length, its content.
  package static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    [tag] + length(content.count) + content
  }

  package static func sequence(_ parts: [[UInt8]]) -> [UInt8] { value(0x30, parts.flatMap(\.self)) }

  package static func set(_ parts: [[UInt8]]) -> [UInt8] { value(0x31, parts.flatMap(\.self)) }

  package static func octets(_ content: [UInt8]) -> [UInt8] { value(0x04, content) }

  /// A string of whole bytes.
  package static func bits(_ content: [UInt8]) -> [UInt8] { value(0x03, [0] + content) }

  package static func boolean(_ flag: Bool) -> [UInt8] { value(0x01, [flag ? 0xff : 0]) }

  package static func utf8(_ text: String) -> [UInt8] { value(0x0c, Array(text.utf8)) }

  /// A whole number of zero or more, big-endian.
  package static func integer(_ magnitude: [UInt8]) -> [UInt8] {
    var bytes = Array(magnitude.drop { $0 == 0 })
    if bytes.isEmpty || bytes[0] & 0x80 != 0 { bytes.insert(0, at: 0) }
    return value(0x02, bytes)
  }

  /// An object identifier of at least two arcs.
  package static func identifier(_ arcs: [UInt32]) -> [UInt8] {
    guard arcs.count >= 2 else { return value(0x06, []) }
    var content: [UInt8] = []
    for arc in [arcs[0] &* 40 &+ arcs[1]] + arcs.dropFirst(2) {
      var groups = [UInt8(arc & 0x7f)]
      var rest = arc >> 7
      while rest > 0 {
        groups.insert(UInt8(rest & 0x7f) | 0x80, at: 0)
        rest >>= 7
      }
      content += groups
    }
    return value(0x06, content)
  }

  /// PEM of a DER value: lines of 64 characters (RFC 7468).
  package static func pem(_ label: String, _ der: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: der.count, by: 3) {
      let group = der[start..<min(start + 3, der.count)]
      let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
      for place in 0..<4 {
        let used = place <= group.count
        text.append(used ? alphabet[Int(bits >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "="))
      }
    }
    var lines = "-----BEGIN \(label)-----\n"
    for start in stride(from: 0, to: text.count, by: 64) {
      lines += String(decoding: text[start..<min(start + 64, text.count)], as: UTF8.self) + "\n"
    }
    return lines + "-----END \(label)-----\n"
  }

  private static func length(_ count: Int) -> [UInt8] {
    if count < 0x80 { return [UInt8(count)] }
    var bytes: [UInt8] = []
    var rest = count
    while rest > 0 {
      bytes.insert(UInt8(rest & 0xff), at: 0)
      rest >>= 8
    }
    return [0x80 | UInt8(bytes.count)] + bytes
  }
}
