import ApusCLI
import ApusHTTP
import MeshControl
import Testing

struct FormatTests {
  @Test func columnsAreAsWideAsTheirContentWithoutTrailingBlanks() {
    var table = Table([Table.Column("NAME"), Table.Column("RPS", .right), Table.Column("AGE")])
    table.rows = [["catalog", "1.5", "5m"], ["a", "120.0", ""]]
    #expect(
      table.lines() == [
        "NAME       RPS  AGE",
        "catalog    1.5  5m",
        "a        120.0",
      ])
  }

  @Test func onlyColumnsThatMayShrinkAreCutToTheWidth() {
    var table = Table([Table.Column("NAME", minimumWidth: 6), Table.Column("STATUS")])
    table.rows = [["a-very-long-name-indeed", "SYNCED"]]
    let lines = table.lines(maxWidth: 20)
    #expect(lines[1] == "a-very-long…  SYNCED")
    #expect(table.lines(maxWidth: 5) == ["NA… …", "a-…"])
  }

  @Test func eachRowIsOneLineOnANarrowTerminal() {
    var table = Table([
      Table.Column("NAME", minimumWidth: 18), Table.Column("MESHED", .right), Table.Column("SUCCESS", .right),
      Table.Column("RPS", .right), Table.Column("CONNS", .right),
    ])
    table.rows = [["service/catalog-with-a-long-name", "2/2", "100.00%", "12.5", "3"]]
    #expect(
      table.lines(maxWidth: 40) == [
        "NAME                MESHED  SUCCESS …",
        "serv…h-a-long-name     2/2  100.00%",
      ])
    for width in 3...80 { #expect(table.lines(maxWidth: width).allSatisfy { $0.count <= width }, "\(width)") }
    #expect(table.lines(maxWidth: 80) == table.lines())
  }

  @Test func aShareIsNeverRoundedUpToAHundred() {
    #expect(Figures.percent(1) == "100.00%")
    #expect(Figures.percent(0.999999) == "99.99%")
    #expect(Figures.percent(0.9) == "90.00%")
    #expect(Figures.percent(0.0012) == "0.12%")
    #expect(Figures.percent(nil) == "-")
  }

  @Test func timesHaveTheUnitThatReadsBest() {
    #expect(Figures.milliseconds(0.44) == "0.4ms")
    #expect(Figures.milliseconds(9.97) == "10ms")
    #expect(Figures.milliseconds(12.4) == "12ms")
    #expect(Figures.milliseconds(999.7) == "1.0s")
    #expect(Figures.milliseconds(1500) == "1.5s")
    #expect(Figures.milliseconds(.infinity) == "-")
    #expect(Figures.age(seconds: 45) == "45s")
    #expect(Figures.age(seconds: 310) == "5m10s")
    #expect(Figures.age(seconds: 3 * 3600 + 20 * 60) == "3h20m")
    #expect(Figures.age(seconds: 12 * 86_400) == "12d")
    #expect(Figures.age(seconds: -5) == "0s")
  }

  @Test func yamlQuotesWhatAnotherReaderWouldTakeForSomethingElse() throws {
    let json =
      #"{"a":"yes","b":"1.5","c":"catalog","d":"a: b","e":[],"f":{},"g":[{"x":1,"y":[true,null]}],"h":"","i":"-"}"#
    let value = try JSONReader.read(Array(json.utf8))
    #expect(
      YAMLWriter.text(value) == """
        a: "yes"
        b: "1.5"
        c: catalog
        d: "a: b"
        e: []
        f: {}
        g:
        - x: 1
          "y":
          - true
          - null
        h: ""
        i: "-"

        """)
  }

  @Test func prettyJSONReadsBackAsTheSameValue() throws {
    let json = #"{"items":[{"a":1,"b":[]},{}],"c":"x\n\"y\"","d":null}"#
    let value = try JSONReader.read(Array(json.utf8))
    let text = PrettyJSON.text(value)
    #expect(try JSONReader.read(Array(text.utf8)) == value)
    #expect(text.hasPrefix("{\n  \"items\": [\n    {\n"))
  }

  @Test(arguments: [
    ("127.0.0.1:15050", "127.0.0.1", 15050), ("http://localhost:80/", "localhost", 80), ("[::1]:9", "::1", 9),
    ("host", "host", 7), ("[::1]", "::1", 7),
  ])
  func addressesAreReadAsPeopleWriteThem(text: String, host: String, port: Int) {
    #expect(HTTPAddress(text, defaultPort: 7) == HTTPAddress(host: host, port: UInt16(port)))
  }

  @Test(arguments: ["", ":80", "a:b", "a:70000", "a:1:2", "[::1", "[::1]80", "http://a/b", "u@a:1", "a b:1"])
  func whatIsNoAddressIsRefused(text: String) {
    #expect(HTTPAddress(text, defaultPort: 7) == nil)
  }

  @Test func percentCodingKeepsEveryText() {
    let text = "app=a b&c%/ü"
    #expect(PercentCoding.decode(PercentCoding.encode(text)) == text)
    #expect(PercentCoding.decode("a%2") == "a%2")
  }
}
