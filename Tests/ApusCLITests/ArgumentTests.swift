import ApusCLI
import Testing

struct ArgumentTests {
  @Test func anUnknownVerbIsUsage() {
    let result = apus("frobnicate")
    #expect(result.status == 2)
    #expect(result.errors.hasPrefix("apus: "))
    #expect(result.output.isEmpty)
  }

  @Test func helpGoesWhereResultsGo() {
    let result = apus("--help")
    #expect(result.status == 0)
    #expect(result.output.contains("proxy-status"))
    #expect(result.errors.isEmpty)
  }

  @Test(arguments: [
    "up", "control-plane", "run", "apply", "get", "delete", "stat", "proxy-status", "check", "completion", "version",
    "edges", "why", "eval", "tap", "analyze", "proxy-config", "routes", "describe", "top", "rollout",
  ])
  func everyVerbHasAnExampleAndFitsEightyColumns(verb: String) {
    let result = apus("help", verb)
    #expect(result.status == 0)
    #expect(result.output.contains("EXAMPLE"))
    #expect(result.output.contains("apus \(verb)") || verb == "completion")
    #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
  }

  @Test func theVersionIsToldByOptionAndByVerb() {
    #expect(apus("--version").output == "apus \(ApusVersion.text)\n")
    #expect(apus("version", "--client").output == "apus \(ApusVersion.text)\n")
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func completionsNameTheVerbs(shell: String) {
    let result = apus("completion", shell)
    #expect(result.status == 0)
    #expect(result.output.contains("proxy-status"))
  }

  @Test func aMisspeltKindIsToldWithItsNeighbour() {
    let result = apus("get", "servcies")
    #expect(result.status == 2)
    #expect(result.errors.contains("did you mean services?"))
  }

  @Test(arguments: [
    (["run", "--service", "Big", "--", "true"], "--service \"Big\""),
    (["run", "--service", "a"], "behind --"),
    (["run", "--service", "a", "--upstream", "db", "--", "true"], "NAME[:PORT]=PORT"),
    (["run", "--service", "a", "--upstream", "db:0=1", "--", "true"], "NAME[:PORT]=PORT"),
    (["run", "--service", "a", "--upstream", "db=70000", "--", "true"], "NAME[:PORT]=PORT"),
    (["run", "--service", "a", "--port", "0", "--", "true"], "--port"),
    (["run", "--service", "a", "--port", "70000", "--", "true"], "--port"),
    (["run", "--service", "a", "--version", "v 1", "--", "true"], "--version"),
    (["run", "--service", "a", "--protocol", "quic", "--", "true"], "quic"),
    (["run", "--service", "a", "--workers", "0", "--", "true"], "--workers"),
    (["up", "--certificate-lifetime", "0"], "--certificate-lifetime"),
    (["up", "--api", "nowhere:port:1"], "--api"),
    (["stat", "--window", "0"], "--window"),
    (["stat", "-A", "-n", "shop"], "exclude each other"),
    (["stat", "httproutes"], "services, workloads"),
    (["get", "service", "a", "-l", "app=a"], "exclude each other"),
    (["delete"], "-f"),
    (["delete", "service"], "NAME"),
    (["delete", "workload", "a"], "apus run"),
    (["apply"], "-f"),
  ])
  func whatIsNotUnderstoodSaysWhyAndIsUsage(arguments: [String], mention: String) {
    let result = apus(arguments)
    #expect(result.status == 2)
    #expect(result.errors.contains(mention), "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test func aBadAddressInTheEnvironmentIsUsage() {
    let result = apus("get", "services", environment: ["APUS_API": "http://a/b"])
    #expect(result.status == 2)
    #expect(result.errors.contains("APUS_API"))
  }

  @Test func upTakesItsPlacesFromOptionsBeforeTheEnvironment() {
    let plain = apus("up", environment: ["APUS_DATA": "/data", "APUS_API": "127.0.0.1:1"])
    #expect(plain.output.contains("/data") && plain.output.contains("127.0.0.1:1,"))
    let told = apus("control-plane", "--data", "/mine", "--api", "[::1]:2", environment: ["APUS_DATA": "/data"])
    #expect(told.output.contains("/mine") && told.output.contains("[::1]:2"))
  }

  @Test func theDataFolderFollowsTheStandardPlaces() {
    #expect(DataFolder(option: nil, environment: ["HOME": "/h"]).path == "/h/.local/state/apus")
    #expect(DataFolder(option: nil, environment: ["HOME": "/h", "XDG_STATE_HOME": "/s"]).path == "/s/apus")
    #expect(DataFolder(option: nil, environment: ["HOME": "/h", "APUS_DATA": "/d"]).path == "/d")
    #expect(DataFolder(option: "/o", environment: ["HOME": "/h", "APUS_DATA": "/d"]).path == "/o")
  }
}
