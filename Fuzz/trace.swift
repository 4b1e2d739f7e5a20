// Fuzz target for the header fields in which traces come. What must hold: no stray access, no crash; what is passed on is
// read again as the same trace; a span of this hop stands in every form; a state that is passed on has members within bounds.
import Glibc
import MeshModel
import MeshTelemetry

/// Each line of the input is a field; its first byte says which.
private let names: [KnownHeader] = [
  .traceparent, .tracestate, .b3, .xB3TraceID, .xB3SpanID, .xB3ParentSpanID, .xB3Sampled, .xB3Flags, .baggage,
]

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ source: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source, count > 0 else { return 0 }
  let input = GuardedInput(source, count)
  defer { input.free() }
  let mark = read(input.bytes, count)
  for decision in SamplingDecision.allCases {
    let next = mark.continued(decision, ids: (7, 8, 9))
    require(next.isPresent && next.outgoingSpan != 0, "there is always a trace to pass on")
    require(next.flags.contains(.sampled) == decision.isSampled, "the decision is passed on")
    var room = [UInt8](repeating: 0, count: 512)
    let written = room.withUnsafeMutableBufferPointer { buffer in
      var writer = FixedWriter(buffer)
      TraceFields.write(next, into: &writer)
      require(!writer.overflowed, "what is written is short")
      return writer.count
    }
    again(Array(room[..<written]), next)
  }
  return 0
}

/// Reads what was written, each form for itself.
private func again(_ lines: [UInt8], _ mark: TraceMark) {
  for line in lines.split(separator: 0x0A) {
    let text = line.dropLast()
    guard let colon = text.firstIndex(of: 0x3A) else { return require(false, "a field has a name") }
    let name = String(decoding: text[..<colon], as: UTF8.self)
    guard name == "traceparent" || name == "b3", let number = names.firstIndex(where: { $0.name.description == name })
    else { continue }
    var field = [UInt8(number)] + text[(colon + 2)...]
    let found = field.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map { read($0, buffer.count) } ?? TraceMark()
    }
    require(
      found.high == mark.high && found.low == mark.low && found.parent == mark.outgoingSpan, "it is the same trace")
  }
}

private func read(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> TraceMark {
  var fields: [FieldRef] = []
  var start = 0
  while start < count, fields.count < 100 {
    var end = start
    while end < count, bytes[end] != 0x0A { end += 1 }
    if end > start {
      let value = ByteRange(offset: UInt32(start + 1), length: UInt32(end - start - 1))
      fields.append(FieldRef(name: .empty, value: value, known: names[Int(bytes[start]) % names.count]))
    }
    start = end + 1
  }
  return fields.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress, buffer.count > 0 else { return TraceMark() }
    var head = MessageHead(base: UnsafePointer(bytes), fields: base)
    head.fieldCount = buffer.count
    return TraceFields.read(head)
  }
}
