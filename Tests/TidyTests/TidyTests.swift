import Testing

/// The house rules, checked like anything else. Each failure names the place and how to mend it.
@Suite struct TidyTests {
  private func expectNone(_ violations: [Violation], _ location: SourceLocation = #_sourceLocation) {
    let list = violations.map(\.description).joined(separator: "\n")
    #expect(violations.isEmpty, "\(violations.count) violations:\n\(list)", sourceLocation: location)
  }

  @Test func eachTargetImportsOnlyWhatItsRowAllows() {
    let sources = Repository.swiftSources("Sources")
    #expect(!sources.isEmpty)
    expectNone(sources.flatMap(ImportRules.check))
  }

  @Test func filesAndFunctionsStayWithinTheirBudgets() {
    let sources = Repository.swiftSources("Sources", "Tests")
    #expect(!sources.isEmpty)
    expectNone(sources.flatMap(Budgets.checkFile))
    expectNone(sources.flatMap(Budgets.checkFunctions))
  }

  @Test func bannedCallsAreNotUsed() {
    expectNone(Repository.swiftSources("Sources").flatMap { source in BannedCall.all.flatMap { $0.check(source) } })
    expectNone(Repository.swiftSources("Sources").flatMap(ForceUnwrap.check))
  }

  @Test func uncheckedCodeStaysInItsNamedPlaces() {
    expectNone(Repository.swiftSources("Sources").flatMap { Confinement.check($0) })
    #expect(Confinement.stale(files: Repository.files()).isEmpty)
  }

  @Test func whatTheDocumentsNameExists() {
    let files = Repository.files()
    let tests = files.filter { $0.hasPrefix("Tests/Integration/") && $0.hasSuffix(".py") }
      .flatMap { Documents.tests(Repository.text($0) ?? "") }
    #expect(!tests.isEmpty)
    let world = Documents.World(
      files: Set(files),
      targets: Set(files.filter { $0.hasPrefix("Sources/") || $0.hasPrefix("Tests/") }.map(Repository.target)),
      makeTargets: Documents.makeTargets(Repository.text("Makefile") ?? ""), integrationTests: Set(tests))
    let documents = files.filter { $0.hasSuffix(".md") }
    #expect(documents.contains("README.md"))
    expectNone(
      documents.flatMap { path in
        Documents.check(path: path, text: Repository.text(path) ?? "", world: world)
      })
  }

  @Test func noFileCarriesUnfinishedWorkOrPathsOfOneMachine() {
    let files = Repository.files()
    #expect(files.contains("Makefile"))
    expectNone(files.flatMap { path in Repository.text(path).map { Text.check(path: path, text: $0) } ?? [] })
  }
}
