/// Host and port of a server, as people write it: `127.0.0.1:15050`, `[::1]:15050`, `http://localhost:15050/`.
package struct HTTPAddress: Sendable, Hashable, CustomStringConvertible {
  /// A name or a numeric address, without brackets.
  package var host: String
  package var port: UInt16

  package init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// - Parameter defaultPort: taken where the text names no port; absent: a text without one is not understood.
  package init?(_ text: String, defaultPort: UInt16? = nil) {
    var rest = Substring(text)
    if rest.hasPrefix("http://") { rest = rest.dropFirst("http://".count) }
    if let slash = rest.firstIndex(of: "/") {
      guard rest[slash...] == "/" else { return nil }
      rest = rest[..<slash]
    }
    let portText: Substring?
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]") else { return nil }
      host = String(rest[rest.index(after: rest.startIndex)..<end])
      let after = rest[rest.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { return nil }
      portText = after.isEmpty ? nil : after.dropFirst()
    } else {
      let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      host = String(parts.first ?? "")
      portText = parts.count > 1 ? parts[1] : nil
    }
    guard !host.isEmpty, !host.contains(where: { $0 == "@" || $0 == "?" || $0.isWhitespace }) else { return nil }
    guard let port = portText.map({ UInt16($0) }) ?? defaultPort else { return nil }
    self.port = port
  }

  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
