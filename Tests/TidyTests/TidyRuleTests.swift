import Testing

/// Every rule is shown to fail on what it forbids and to pass what it must not mind.
@Suite struct TidyRuleTests {
  private func swift(_ text: String, path: String = "Sources/MeshHTTP/Example.swift") -> SourceText {
    SourceText(path: path, text: text)
  }

  @Test func commentsAndStringsAreNotCode() {
    let source = swift(
      #"""
      let a = "print(" // try! in a comment
      /* fatalError( /* nested */ as! */
      let b = """
        try! "quoted" print(
        """
      let c = #"raw " print( "#
      let d = "interpolated \(value(of: "x")!) end"
      """#)
    #expect(source.positions(of: "print(").isEmpty)
    #expect(source.positions(of: "try!").isEmpty)
    #expect(source.positions(of: "fatalError(").isEmpty)
    #expect(source.positions(of: "value").count == 1, "code inside an interpolation stays code")
    #expect(source.positions(of: "let").count == 4)
    #expect(source.lineCount == 7)
  }

  @Test func wordsMatchWhole() {
    #expect(swift("sprint(1); reprint(2)").positions(of: "print(").isEmpty)
    #expect(swift("print(1)").positions(of: "print(").count == 1)
  }

  @Test(arguments: [
    ("MeshHTTP", "import Foundation", 1), ("MeshHTTP", "package import NIOCore", 1), ("MeshModel", "import Glibc", 1),
    ("MeshHTTP", "import MeshModel", 0), ("MeshHTTP", "import struct MeshModel.Head", 0),
    ("MeshHTTP", "// import Foundation", 0), ("Unknown", "import MeshModel", 1), ("MeshPolicy", "import MeshProxy", 1),
  ])
  func importRulesFollowTheTable(target: String, text: String, count: Int) {
    #expect(ImportRules.check(swift(text, path: "Sources/\(target)/A.swift")).count == count)
  }

  @Test func aLongFileIsRefused() {
    let line = "let x = 1\n"
    #expect(Budgets.checkFile(swift(String(repeating: line, count: Budgets.linesPerFile))).isEmpty)
    #expect(Budgets.checkFile(swift(String(repeating: line, count: Budgets.linesPerFile + 1))).count == 1)
  }

  @Test func aLongFunctionIsRefusedAndBracesInStringsDoNotCount() {
    func function(lines: Int) -> SourceText {
      swift(
        "func f(_ a: Int = 1)\n  -> Int\n{\n" + String(repeating: "  g(\"}\") // }\n", count: lines - 4) + "}\n"
          + "func short() {}\n")
    }
    #expect(Budgets.checkFunctions(function(lines: Budgets.linesPerFunction)).isEmpty)
    let found = Budgets.checkFunctions(function(lines: Budgets.linesPerFunction + 1))
    #expect(found.count == 1)
    #expect(found.first?.message.hasPrefix("`f` has 71 lines") == true)
  }

  @Test func functionsAreFoundInEveryForm() {
    let names = Budgets.functions(
      in: swift(
        """
        protocol P { func none() -> Int
          func generic<T>(_ x: T) throws
        }
        struct S {
          init() {}
          func a<T: Equatable>(x: T) async throws -> [T]
          where T: Sendable {
            func b() {}
          }
          subscript(i: Int) -> Int { 1 }
          static func == (l: S, r: S) -> Bool { true }
        }
        let s = S.init()
        """)
    ).map(\.name)
    #expect(names == ["init", "a", "b", "subscript", "=="])
  }

  @Test(arguments: BannedCall.all.indices)
  func eachBannedCallIsFoundWhereItIsBannedAndNotInText(index: Int) {
    let rule = BannedCall.all[index]
    let target = rule.targets?.sorted().first ?? "apus"
    let path = "Sources/\(target)/A.swift"
    let use = "\(rule.pattern)\(rule.pattern.hasSuffix("(") ? ")" : " x")"
    #expect(rule.check(swift("let a = \(use)", path: path)).count == 1)
    #expect(rule.check(swift("// \(use)\nlet b = \"\(use)\"", path: path)).isEmpty)
    if let targets = rule.targets, let other = ImportRules.allowed.keys.sorted().first(where: { !targets.contains($0) })
    {
      #expect(rule.check(swift("let a = \(use)", path: "Sources/\(other)/A.swift")).isEmpty)
    }
  }

  @Test(arguments: [
    ("let a = b!", 1), ("b!.c()", 1), ("b[1]!", 1), ("f()!", 1), ("var x: Int!", 1), ("a != b", 0), ("a!=b", 0),
    ("!a", 0), ("f(!a, !b)", 0), ("// b!", 0), ("\"b!\"", 0),
  ])
  func postfixExclamationMarksAreFound(text: String, count: Int) {
    #expect(ForceUnwrap.check(swift(text)).count == count)
  }

  @Test func pointersAndUncheckedSharingSayWhy() {
    let pointer = "let p: UnsafeRawPointer\n"
    let sharing = "final class C: @unchecked Sendable {}\nnonisolated(unsafe) var x = 1\n"
    #expect(Confinement.check(swift(pointer + sharing), pointerPlaces: [:]).map(\.line) == [1, 2, 3])
    #expect(Confinement.check(swift(pointer), pointerPlaces: ["Sources/MeshHTTP/": "reason"]).isEmpty)
    #expect(Confinement.check(swift("// Unsafe by design: reason\n" + pointer), pointerPlaces: [:]).isEmpty)
    #expect(Confinement.check(swift("let s = \"Unsafe by design: \"\n" + pointer), pointerPlaces: [:]).count == 1)
    #expect(Confinement.check(swift("// Unchecked: reason\n" + sharing), pointerPlaces: [:]).isEmpty)
    #expect(Confinement.check(swift(sharing + "\n\n\n// Unchecked: too far\n"), pointerPlaces: [:]).count == 2)
    #expect(Confinement.stale(files: ["a/b.swift"], places: ["a/": "", "c/": ""]) == ["c/"])
  }

  @Test(arguments: [
    ("see `Sources/MeshHTTP/A.swift` and `Sources/MeshHTTP/`", 0), ("see `Sources/Gone.swift`", 1),
    ("the target `MeshHTTP`", 0), ("the target `MeshGone`", 1), ("[a](docs/a.md#part)", 0), ("[a](docs/b.md)", 1),
    ("[a](https://example.com/x)", 0), ("run `make test`", 0), ("run `make coffee`", 1), ("`Sources/*.swift`", 0),
    ("`test_it`", 0), ("`test_gone`", 1),
  ])
  func documentsNameWhatExists(text: String, count: Int) {
    let world = Documents.World(
      files: ["Sources/MeshHTTP/A.swift", "docs/a.md"], targets: ["MeshHTTP"],
      makeTargets: Documents.makeTargets(".PHONY: x\ntest: build ## run\n\techo: hi\n"),
      integrationTests: Set(Documents.tests("import a\ndef test_it(mesh):\n  def test_gone():\n")))
    #expect(Documents.check(path: "README.md", text: text, world: world).count == count)
  }

  @Test func linksAreResolvedFromTheDocumentsOwnFolder() {
    let world = Documents.World(files: ["docs/a.md", "README.md"], targets: [], makeTargets: [])
    #expect(Documents.check(path: "docs/b.md", text: "[x](a.md) [y](../README.md)", world: world).isEmpty)
    #expect(Documents.check(path: "docs/b.md", text: "[x](docs/a.md)", world: world).count == 1)
  }

  @Test func unfinishedWorkAndMachinePathsAreFoundInAnyFile() {
    #expect(Text.check(path: "a.py", text: "# TO" + "DO: later\nx = '/ro" + "ot/x'\n").map(\.line) == [1, 2])
    #expect(Text.check(path: "a.md", text: "a\n<<<" + "<<<< HEAD\nb\n===\n>>>" + ">>>> c\n").map(\.line) == [2, 5])
    #expect(Text.check(path: "a.py", text: "# done: see todo-list and /var/lib\n").isEmpty)
  }
}
