import MeshProxy

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Says why the program ends, on standard error.
func complain(_ message: String) {
  var line = message.hasSuffix("\n") ? message : message + "\n"
  line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
}

do {
  exit(try Proxy(try ProxyOptions(arguments: Array(CommandLine.arguments.dropFirst()))).run())
} catch let error as UsageError {
  complain(error.isHelp ? error.message : "apus-proxy: \(error.message)")
  exit(error.isHelp ? 0 : 2)
} catch {
  complain("apus-proxy: \(error)")
  exit(1)
}
