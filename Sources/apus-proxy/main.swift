import MeshProxy

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Says why the program ends, on standard error; what was asked for goes to standard output.
func say(_ message: String, to descriptor: Int32 = 2) {
  var line = message.hasSuffix("\n") ? message : message + "\n"
  line.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
}

do {
  exit(try Proxy(try ProxyOptions(arguments: Array(CommandLine.arguments.dropFirst()))).run())
} catch let error as UsageError {
  if error.isHelp {
    say(error.message, to: 1)
    exit(0)
  }
  say("apus-proxy: \(error.message)")
  exit(2)
} catch {
  say("apus-proxy: \(error)")
  exit(1)
}
