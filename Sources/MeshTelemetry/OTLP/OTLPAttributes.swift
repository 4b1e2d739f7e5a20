import MeshWire

/// The pieces that every OTLP message is made of (opentelemetry/proto/common/v1).
extension ProtobufWriter {
  /// A `KeyValue` with a text; an empty one is left out.
  mutating func attribute(_ number: UInt32, _ key: String, _ value: String) {
    if value.isEmpty { return }
    message(number) { pair in
      pair.string(1, key)
      pair.message(2) { $0.choice(1, string: value) }
    }
  }

  /// A `KeyValue` with a whole number.
  mutating func attribute(_ number: UInt32, _ key: String, _ value: Int64) {
    message(number) { pair in
      pair.string(1, key)
      pair.message(2) { $0.choice(3, integer: value) }
    }
  }

  /// A `KeyValue` with a fraction.
  mutating func attribute(_ number: UInt32, _ key: String, fraction value: Double) {
    message(number) { pair in
      pair.string(1, key)
      pair.message(2) { $0.choice(4, double: value) }
    }
  }

  /// A trace's or span's id: big-endian bytes.
  mutating func identifier(_ number: UInt32, _ halves: UInt64...) {
    bytes(number, halves.flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) } })
  }
}

/// Who sends telemetry: the resource of every message, by OpenTelemetry's conventions (`service.…`).
package struct OTLPResource: Sendable, Equatable {
  package var serviceName = ""
  package var serviceNamespace = ""
  package var serviceVersion = ""
  /// The workload's uid.
  package var instance = ""
  /// Name of the workload.
  package var workload = ""
  /// Version of the proxy.
  package var proxyVersion = ""

  package init() {}

  /// A whole request of a collector: one resource with one scope. Traces, metrics and logs have the same numbers here.
  package func request(_ items: some Sequence<[UInt8]>) -> [UInt8] {
    var whole = ProtobufWriter()
    whole.message(1) { group in
      group.message(1) { resource in
        resource.attribute(1, "service.name", serviceName.isEmpty ? "unknown_service:apus-proxy" : serviceName)
        resource.attribute(1, "service.namespace", serviceNamespace)
        resource.attribute(1, "service.version", serviceVersion)
        resource.attribute(1, "service.instance.id", instance)
        resource.attribute(1, "apus.workload", workload)
        resource.attribute(1, "telemetry.sdk.name", "apus")
        resource.attribute(1, "telemetry.sdk.language", "swift")
        resource.attribute(1, "telemetry.sdk.version", proxyVersion)
      }
      group.message(2) { scope in
        scope.message(1) { name in
          name.string(1, "apus-proxy")
          name.string(2, proxyVersion)
        }
        for item in items { scope.bytes(2, item) }
      }
    }
    return whole.bytes
  }
}

/// Numeric addresses as text, without their port.
enum AddressText {
  /// Empty for a family that is neither IPv4 nor IPv6.
  static func text(_ family: Int32, _ bytes: (UInt64, UInt64)) -> String {
    switch family {
    case 2: return (0..<4).map { String(bytes.0 >> UInt64(8 * $0) & 255) }.joined(separator: ".")
    case 10:
      let all = withUnsafeBytes(of: bytes) { Array($0) }
      return (0..<8).map { String(UInt16(all[2 * $0]) << 8 | UInt16(all[2 * $0 + 1]), radix: 16) }
        .joined(separator: ":")
    default: return ""
    }
  }
}
