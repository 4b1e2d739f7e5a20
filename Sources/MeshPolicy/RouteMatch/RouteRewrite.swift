package import MeshModel

// What a rule makes of a request's path and of a redirect's Location, written into memory of the caller.

extension RouteTableView {
  /// What becomes of host and path: as the backend says, or, where none is chosen (-1), the rule.
  package func rewrite(_ hit: RouteHit, backend: Int32) -> CompiledRewrite {
    if backend >= 0, Int(backend) < backends.count { return backends[Int(backend)].rewrite }
    return hit.rule >= 0 && Int(hit.rule) < rules.count ? rules[Int(hit.rule)].rewrite : CompiledRewrite()
  }

  /// Writes the request target (path and query) for the upstream as `rewrite` has it.
  ///
  /// Where that changes nothing (`pathChange == .none`) this is the canonical path with the query. The writer's
  /// `overflowed` says that it did not fit.
  package func writeTarget(
    _ hit: RouteHit, _ rewrite: CompiledRewrite, _ head: borrowing MessageHead, into writer: inout FixedWriter
  ) {
    writePath(rewrite.pathChange, rewrite.pathText, hit, head, into: &writer)
    writeQuery(head, into: &writer)
  }

  /// Writes the value of `Location` for the redirect of the rule `hit.rule`.
  ///
  /// The port follows Gateway API: the rule's own; else the scheme's where the rule names a scheme; else the one the
  /// request came to. It is left out where it is the scheme's own.
  /// - Parameters:
  ///   - isTLS: whether the request came over TLS, which is its scheme.
  ///   - port: the port the request came to: the service's port, not the proxy's.
  package func writeLocation(
    _ hit: RouteHit, _ head: borrowing MessageHead, isTLS: Bool, port: UInt16, into writer: inout FixedWriter
  ) {
    guard hit.rule >= 0, Int(hit.rule) < rules.count else { return }
    let redirect = rules[Int(hit.rule)].redirect
    // Schemes are `http` or `https`, told apart by their length.
    let isSecure = redirect.scheme.isEmpty ? isTLS : redirect.scheme.length == 5
    let schemePort: UInt16 = isSecure ? 443 : 80
    writer.append(isSecure ? "https://" : "http://")
    if redirect.host.isEmpty {
      writeHost(head.bytes(head.authority), into: &writer)
    } else {
      writer.append(text(redirect.host))
    }
    let target = redirect.port ?? (redirect.scheme.isEmpty ? port : schemePort)
    if target != schemePort {
      writer.append(UInt8(ascii: ":"))
      writer.append(decimal: UInt64(target))
    }
    writePath(redirect.pathChange, redirect.pathText, hit, head, into: &writer)
    writeQuery(head, into: &writer)
  }

  private func writeQuery(_ head: borrowing MessageHead, into writer: inout FixedWriter) {
    guard !head.query.isEmpty else { return }
    writer.append(UInt8(ascii: "?"))
    writer.append(head.bytes(head.query))
  }

  /// The authority without its port; an IPv6 address keeps its brackets.
  private func writeHost(_ authority: UnsafeBufferPointer<UInt8>, into writer: inout FixedWriter) {
    var end = authority.count
    while end > 0 {
      let byte = authority[end &- 1]
      if byte == UInt8(ascii: ":") { break }
      // Anything but digits is no port.
      if byte &- 48 > 9 {
        end = authority.count &+ 1
        break
      }
      end &-= 1
    }
    let length = end == 0 || end > authority.count ? authority.count : end &- 1
    writer.append(UnsafeBufferPointer(start: authority.baseAddress, count: length))
  }

  private func writePath(
    _ change: CompiledPathChange, _ replacement: ByteRange, _ hit: RouteHit, _ head: borrowing MessageHead,
    into writer: inout FixedWriter
  ) {
    let path = head.bytes(head.path)
    switch change {
    case .none:
      if path.isEmpty { writer.append(UInt8(ascii: "/")) } else { writer.append(path) }
    case .replaceFull:
      if replacement.isEmpty { writer.append(UInt8(ascii: "/")) } else { writer.append(text(replacement)) }
    case .replacePrefix:
      let start = min(Int(hit.prefixLength), path.count)
      let rest = UnsafeBufferPointer(rebasing: path[start...])
      var prefix = text(replacement)
      // One slash, and only one, between the replacement and what is left.
      if !rest.isEmpty, prefix.last == UInt8(ascii: "/") { prefix = UnsafeBufferPointer(rebasing: prefix.dropLast()) }
      if prefix.isEmpty, rest.isEmpty {
        writer.append(UInt8(ascii: "/"))
      } else {
        writer.append(prefix)
        if !rest.isEmpty, rest[0] != UInt8(ascii: "/") { writer.append(UInt8(ascii: "/")) }
        writer.append(rest)
      }
    }
  }
}
