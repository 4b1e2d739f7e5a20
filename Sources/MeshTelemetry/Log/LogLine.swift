package import MeshModel

extension AccessRecord {
  /// Appends one line in a configured format, its line feed included. Where it does not fit, nothing is appended.
  ///
  /// Whatever bytes peers sent, the line stays one line, text in quotes stays in them, and JSON stays JSON.
  package func write(_ program: LogProgramView, into writer: inout FixedWriter) {
    let start = writer.count
    if program.isJSON {
      writeObject(program, into: &writer)
    } else if program.fieldCount > 0 {
      let field = program.fields[0]
      var index = 0
      while index < Int(field.partCount) {
        write(program.parts[Int(field.firstPart) &+ index], program, .text, into: &writer)
        index &+= 1
      }
    }
    writer.append(UInt8(ascii: "\n"))
    if writer.overflowed { writer.truncate(to: start) }
  }

  private func writeObject(_ program: LogProgramView, into writer: inout FixedWriter) {
    writer.append("{")
    var index = 0
    while index < program.fieldCount {
      let field = program.fields[index]
      writer.append(index == 0 ? "\"" : ",\"")
      writer.append(program.bytes + Int(field.key.offset), count: Int(field.key.length))
      writer.append("\":")
      if field.partCount == 1 {
        writeAlone(program.parts[Int(field.firstPart)], program, into: &writer)
      } else {
        writer.append("\"")
        var part = 0
        while part < Int(field.partCount) {
          write(program.parts[Int(field.firstPart) &+ part], program, .json, into: &writer)
          part &+= 1
        }
        writer.append("\"")
      }
      index &+= 1
    }
    writer.append("}")
  }

  /// A field that is one value: numbers are numbers, what is missing is null.
  private func writeAlone(_ part: CompiledLogPart, _ program: LogProgramView, into writer: inout FixedWriter) {
    let own = LogValue(rawValue: part.kind)
    let isNumber = own?.isNumber ?? false
    if part.kind != CompiledLogPart.literal, !has(part.kind, part.note), !has(part.other, part.otherNote) {
      writer.append("null")
    } else if isNumber {
      write(part, program, .json, into: &writer)
    } else {
      writer.append("\"")
      write(part, program, .json, into: &writer)
      writer.append("\"")
    }
  }

  private enum Escape { case text, json }

  private func write(
    _ part: CompiledLogPart, _ program: LogProgramView, _ escape: Escape, into writer: inout FixedWriter
  ) {
    if part.kind == CompiledLogPart.literal {
      let literal = Bytes(start: program.bytes + Int(part.text.offset), count: Int(part.text.length))
      switch escape {
      case .text: writer.append(literal)
      case .json: EscapedText.json(literal, into: &writer)
      }
      return
    }
    let usesOther = !has(part.kind, part.note) && has(part.other, part.otherNote)
    let (kind, note) = usesOther ? (part.other, part.otherNote) : (part.kind, part.note)
    if let text = text(kind, note) {
      guard !text.isEmpty else { return writer.append("-") }
      let cut = Bytes(rebasing: text[..<min(text.count, Int(part.maxBytes))])
      switch escape {
      case .text: EscapedText.quoted(cut, into: &writer)
      case .json: EscapedText.json(cut, into: &writer)
      }
    } else if let value = LogValue(rawValue: kind) {
      writeOwn(value, into: &writer)
    } else {
      writer.append("-")
    }
  }

  /// Whether there is something to write.
  private func has(_ kind: UInt8, _ note: UInt8) -> Bool {
    if kind == CompiledLogPart.none { return false }
    if let text = text(kind, note) { return !text.isEmpty }
    switch LogValue(rawValue: kind) {
    case .upstreamServiceTime: return upstreamNanoseconds != nil
    case .responseDuration: return responseNanoseconds != nil
    case .grpcStatus, .grpcStatusNumber: return grpcStatus != nil
    case .errorReason: return reason != nil
    case .traceID, .traceparent: return mark.isPresent
    case .spanID: return mark.span != 0
    case .protocolName: return httpVersion.utf8CodeUnitCount > 0
    default: return true
    }
  }

  /// Texts that are somewhere in memory; nil for values that are made here.
  private func text(_ kind: UInt8, _ note: UInt8) -> Bytes? {
    if kind == CompiledLogPart.note {
      return Int(note) < notes.count ? notes[Int(note)] : Bytes(start: nil, count: 0)
    }
    switch LogValue(rawValue: kind) {
    case .method: return method
    case .path: return path
    case .authority: return authority
    case .requestID: return requestID
    case .routeName: return route
    case .upstreamHost: return upstreamHost
    case .upstreamCluster: return upstreamService
    case .downstreamAddress: return downstreamAddress
    case .downstreamHost: return withoutPort(downstreamAddress)
    case .downstreamPrincipal: return sourcePrincipal
    case .upstreamPrincipal: return destinationPrincipal
    case .decidingObject: return decidingObject
    default: return nil
    }
  }

  private func withoutPort(_ address: Bytes) -> Bytes {
    var end = address.count
    while end > 0, address[end &- 1] != 0x3A { end &-= 1 }
    return end == 0 ? address : Bytes(rebasing: address[..<(end &- 1)])
  }

  private func writeOwn(_ value: LogValue, into writer: inout FixedWriter) {
    switch value {
    case .startTime: CivilTime.write(milliseconds: startMilliseconds, into: &writer)
    case .protocolName: writer.append(httpVersion.utf8CodeUnitCount == 0 ? "-" : httpVersion)
    case .responseCode: writer.append(decimal: UInt64(status))
    case .responseCodeDetails:
      writer.append(reason?.name ?? (upstreamNanoseconds != nil ? "via_upstream" : "-"))
    case .responseFlags: writer.append(flag.code)
    case .bytesReceived: writer.append(decimal: requestBytes)
    case .bytesSent: writer.append(decimal: responseBytes)
    case .duration: writer.append(decimal: UInt64(max(0, durationNanoseconds)) / 1_000_000)
    case .responseDuration: writeTime(responseNanoseconds, into: &writer)
    case .upstreamServiceTime: writeTime(upstreamNanoseconds, into: &writer)
    case .attempts: writer.append(decimal: UInt64(attempts))
    case .traceparent: mark.isPresent ? TraceFields.writeParent(mark, into: &writer) : writer.append("-")
    case .traceID:
      guard mark.isPresent else { return writer.append("-") }
      Hexadecimal.write(mark.high, 16, into: &writer)
      Hexadecimal.write(mark.low, 16, into: &writer)
    case .spanID: mark.span == 0 ? writer.append("-") : Hexadecimal.write(mark.span, 16, into: &writer)
    case .grpcStatus: writer.append(grpcStatus.map { Self.grpcName($0) } ?? "-")
    case .grpcStatusNumber:
      if let grpcStatus { writer.append(decimal: UInt64(grpcStatus)) } else { writer.append("-") }
    case .errorReason: writer.append(reason?.name ?? "-")
    default: writer.append("-")
    }
  }

  private func writeTime(_ nanoseconds: Int64?, into writer: inout FixedWriter) {
    guard let nanoseconds else { return writer.append("-") }
    writer.append(decimal: UInt64(max(0, nanoseconds)) / 1_000_000)
  }

  /// The name of a status of gRPC, as Envoy writes it.
  private static func grpcName(_ status: UInt8) -> StaticString {
    switch status {
    case 0: "OK"
    case 1: "Canceled"
    case 3: "InvalidArgument"
    case 4: "DeadlineExceeded"
    case 5: "NotFound"
    case 6: "AlreadyExists"
    case 7: "PermissionDenied"
    case 8: "ResourceExhausted"
    case 9: "FailedPrecondition"
    case 10: "Aborted"
    case 11: "OutOfRange"
    case 12: "Unimplemented"
    case 13: "Internal"
    case 14: "Unavailable"
    case 15: "DataLoss"
    case 16: "Unauthenticated"
    default: "Unknown"
    }
  }
}
