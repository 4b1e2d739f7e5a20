package import GRPCCore
package import MeshWire

/// Turns messages of the mesh into the bytes of gRPC messages.
package struct WireSerializer<Message: WireMessage>: MessageSerializer {
  package init() {}

  package func serialize<Bytes: GRPCContiguousBytes>(_ message: Message) throws -> Bytes {
    Bytes(message.protobuf())
  }
}

/// Reads messages of the mesh; bytes that are none end the call with INVALID_ARGUMENT and the place of the fault.
package struct WireDeserializer<Message: WireMessage>: MessageDeserializer {
  package init() {}

  package func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Message {
    let copy = bytes.withUnsafeBytes { Array($0) }
    do throws(WireError) {
      return try Message(protobuf: copy)
    } catch {
      throw RPCError(code: .invalidArgument, message: "The message cannot be read: \(error).")
    }
  }
}
