import MeshModel
import MeshTelemetry
import Testing

@Suite struct ExpositionTests {
  private func text(_ format: ExpositionFormat, _ body: (inout ExpositionWriter) -> Void) -> String {
    var writer = ExpositionWriter(format)
    body(&writer)
    writer.finish()
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  @Test func countersAreNamedAsEachFormatWantsThem() {
    func write(_ writer: inout ExpositionWriter) {
      writer.family("apus_retries", .counter, help: "Attempts after the first.")
      writer.sample(count: UInt64.max)
      writer.family("apus_age_seconds", .gauge, help: "Age.")
      writer.sample([], 1.5)
    }
    #expect(
      text(.prometheus, write) == """
        # HELP apus_retries_total Attempts after the first.
        # TYPE apus_retries_total counter
        apus_retries_total 18446744073709551615
        # HELP apus_age_seconds Age.
        # TYPE apus_age_seconds gauge
        apus_age_seconds 1.5

        """)
    #expect(
      text(.openMetrics, write) == """
        # HELP apus_retries Attempts after the first.
        # TYPE apus_retries counter
        apus_retries_total 18446744073709551615
        # HELP apus_age_seconds Age.
        # TYPE apus_age_seconds gauge
        apus_age_seconds 1.5
        # EOF

        """)
    #expect(ExpositionFormat(accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5") == .openMetrics)
    #expect(ExpositionFormat(accept: "*/*") == .prometheus)
  }

  @Test func labelValuesCannotBreakTheText() {
    let hostile = "a\"b\\c\nd\u{0}\r\u{7F}é"
    let labels = ExpositionWriter.labels([("path", hostile), ("x", "")])
    let expected = #"path="a\"b\\c\nd"# + "\u{FFFD}\u{FFFD}\u{FFFD}é\",x=\"\""
    #expect(String(decoding: labels, as: UTF8.self) == expected)
    let line = text(.prometheus) {
      $0.family("f", .gauge, help: "a\nb\\c")
      $0.sample(labels, 1)
    }
    #expect(line.split(separator: "\n").count == 3)
    #expect(line.hasPrefix("# HELP f a\\nb\\\\c\n"))
  }

  @Test func histogramsAreCumulativeWithCanonicalBounds() {
    let metrics = LoopMetrics()
    let key = RequestKey(edge: 0, responseCode: 200)
    for milliseconds in [0, 1, 3, 7, 7_200_000] as [Int64] {
      metrics.recordRequest(
        key, durationNanoseconds: milliseconds * 1_000_000, requestBytes: 0, responseBytes: 0, now: 0)
    }
    let histogram = metrics.snapshot().requests[0].duration
    func write(_ writer: inout ExpositionWriter) {
      writer.family("d", .histogram, help: "D.")
      writer.sample(ExpositionWriter.labels([("a", "b")]), histogram, sumScale: 1_000_000)
    }
    let open = text(.openMetrics, write)
    for line in [
      #"d_bucket{a="b",le="0.5"} 1"#, #"d_bucket{a="b",le="1.0"} 2"#, #"d_bucket{a="b",le="5.0"} 3"#,
      #"d_bucket{a="b",le="10.0"} 4"#, #"d_bucket{a="b",le="3600000.0"} 4"#, #"d_bucket{a="b",le="+Inf"} 5"#,
      #"d_sum{a="b"} 7200011"#, #"d_count{a="b"} 5"#,
    ] {
      #expect(open.contains(line + "\n"), "\(line)")
    }
    #expect(text(.prometheus, write).contains(#"d_bucket{a="b",le="10"} 4"#))
  }

  private func mesh() -> (MetricsSnapshot, LabelTexts) {
    let dictionary = LabelDictionary()
    var edge = EdgeLabels(reporter: .destination)
    edge.source.workload = "front-1"
    edge.source.principal = "spiffe://cluster.local/ns/shop/sa/front"
    edge.destination.workload = "catalog-1"
    edge.destination.version = "v2"
    edge.service = "catalog.shop.svc.cluster.local"
    edge.serviceName = "catalog"
    edge.serviceNamespace = "shop"
    edge.security = .mutualTLS
    let number = dictionary.edge(edge)
    let metrics = LoopMetrics()
    let call = RequestKey(
      edge: number, route: dictionary.route("shop/catalog/0"), responseCode: 503, grpcStatus: 14,
      flag: .noHealthyUpstream, reason: .noHealthyEndpoint, requestProtocol: .grpc)
    metrics.recordRequest(call, durationNanoseconds: 1, requestBytes: 10, responseBytes: 20, now: 0)
    metrics.recordMessages(call, request: 3, response: 4)
    let connection = ConnectionKey(
      edge: number, route: dictionary.route("shop/catalog/0"), flag: .upstreamFailure, reason: .connectRefused)
    metrics.connectionOpened(connection, now: 0)
    metrics.connectionBytes(connection, sent: 5, received: 6, now: 0)
    metrics.connectionClosed(connection, now: 0)
    return (metrics.snapshot(), dictionary.texts())
  }

  private func pages(
    _ snapshot: MetricsSnapshot, _ texts: LabelTexts, _ format: ExpositionFormat, size: Int
  ) -> String {
    var exposition = IstioExposition(snapshot, texts, after: ExpositionWriter(format))
    var whole: [UInt8] = []
    while let page = exposition.nextPage(size: size) {
      #expect(page.count < size + 65_536)
      whole += page
    }
    #expect(exposition.nextPage() == nil)
    return String(decoding: whole, as: UTF8.self)
  }

  @Test func pagesOfEverySizeMakeTheSameText() {
    let (snapshot, texts) = mesh()
    let whole = pages(snapshot, texts, .openMetrics, size: 1 << 20)
    for size in [1, 100, 5_000] { #expect(pages(snapshot, texts, .openMetrics, size: size) == whole) }
    let empty = pages(MetricsSnapshot(), texts, .openMetrics, size: 1)
    #expect(empty.hasPrefix("# HELP apus_") && empty.hasSuffix("# EOF\n"))
    var own = ExpositionWriter(.openMetrics)
    own.family("apus_own", .gauge, help: "Own.")
    own.sample([], 1)
    var exposition = IstioExposition(snapshot, texts, after: own)
    let first = exposition.nextPage(size: 1 << 20) ?? []
    #expect(String(decoding: first, as: UTF8.self).hasSuffix(whole))
  }

  @Test func thousandsOfSeriesAreNeverInMemoryAtOnce() {
    let dictionary = LabelDictionary()
    let metrics = LoopMetrics()
    for number in 0..<4_096 {
      var labels = EdgeLabels(reporter: .source)
      labels.service = "service-\(number).shop.svc.cluster.local"
      metrics.recordRequest(
        RequestKey(edge: dictionary.edge(labels), responseCode: 200), durationNanoseconds: 1, requestBytes: 0,
        responseBytes: 0, now: 0)
    }
    var exposition = IstioExposition(metrics.snapshot(), dictionary.texts(), after: ExpositionWriter(.openMetrics))
    var (total, largest, series) = (0, 0, 0)
    while let page = exposition.nextPage() {
      total += page.count
      largest = max(largest, page.count)
      series += page.split(separator: 0x0A).count { $0.starts(with: "istio_requests_total{".utf8) }
    }
    #expect(series == 4_096)
    #expect(total > 100 << 20 && largest < 128 << 10, "\(total) bytes in pages of up to \(largest)")
  }

  @Test func namesAndLabelsAreIstios() {
    let (snapshot, texts) = mesh()
    let output = pages(snapshot, texts, .prometheus, size: 1 << 20)
    let edge =
      #"reporter="destination",source_workload="front-1",source_workload_namespace="unknown","#
      + #"source_principal="spiffe://cluster.local/ns/shop/sa/front",source_app="unknown",source_version="unknown","#
      + #"source_canonical_service="unknown",source_canonical_revision="latest",source_cluster="unknown","#
      + #"destination_workload="catalog-1",destination_workload_namespace="unknown",destination_principal="unknown","#
      + #"destination_app="unknown",destination_version="v2",destination_service="catalog.shop.svc.cluster.local","#
      + #"destination_canonical_service="unknown",destination_canonical_revision="latest","#
      + #"destination_service_name="catalog",destination_service_namespace="shop",destination_cluster="unknown","#
      + #"connection_security_policy="mutual_tls""#
    let request =
      edge + #",request_protocol="grpc",response_code="503",grpc_response_status="14",response_flags="UH","#
      + #"route_name="shop/catalog/0",error_reason="no_healthy_endpoint""#
    let connection =
      edge + #",request_protocol="tcp",response_flags="UF",route_name="shop/catalog/0","#
      + #"error_reason="connect_refused""#
    for line in [
      "# TYPE istio_requests_total counter", "istio_requests_total{\(request)} 1",
      "# TYPE istio_request_duration_milliseconds histogram",
      "istio_request_duration_milliseconds_count{\(request)} 1",
      "istio_request_duration_milliseconds_bucket{\(request),le=\"0.5\"} 1", "istio_request_bytes_sum{\(request)} 10",
      "istio_response_bytes_sum{\(request)} 20", "istio_request_messages_total{\(request)} 3",
      "istio_response_messages_total{\(request)} 4", "istio_tcp_sent_bytes_total{\(connection)} 5",
      "istio_tcp_received_bytes_total{\(connection)} 6", "istio_tcp_connections_opened_total{\(connection)} 1",
      "istio_tcp_connections_closed_total{\(connection)} 1", "apus_retries_total 0", "apus_request_series 1",
    ] {
      #expect(output.contains(line + "\n"), "\(line)")
    }
  }

  @Test func everyFamilyIsDeclaredOnceAndEverySampleBelongsToTheOneBefore() {
    let (snapshot, texts) = mesh()
    for format in [ExpositionFormat.prometheus, .openMetrics] {
      var families: Set<Substring> = []
      var current: Substring = ""
      let output = pages(snapshot, texts, format, size: 1 << 20)
      for line in output.split(separator: "\n") where line != "# EOF" {
        if line.hasPrefix("# HELP ") {
          current = line.split(separator: " ")[2]
          #expect(families.insert(current).inserted)
        } else if line.hasPrefix("# TYPE ") {
          #expect(line.split(separator: " ")[2] == current)
        } else {
          #expect(line.hasPrefix(current))
        }
      }
      #expect(families.count == 10 + ProxyCounter.allCases.count + ProxyGauge.allCases.count)
      #expect(output.hasSuffix("# EOF\n") == (format == .openMetrics))
    }
  }

  @Test func aRouteOfTwoServicesIsOneSeries() {
    let dictionary = LabelDictionary()
    var edge = EdgeLabels(reporter: .source)
    edge.destination.workload = "catalog-1"
    let number = dictionary.edge(edge)
    let metrics = LoopMetrics()
    for asked in ["shop/catalog", "shop/offers"] {
      let route = dictionary.route("shop/split/0", asked: asked)
      #expect(dictionary.texts().asked(route) == asked)
      metrics.recordRequest(
        RequestKey(edge: number, route: route, responseCode: 200), durationNanoseconds: 1, requestBytes: 1,
        responseBytes: 1, now: 0)
    }
    let texts = dictionary.texts()
    let whole = metrics.snapshot()
    #expect(whole.requests.count == 2)
    let lines = pages(whole.byRouteName(texts), texts, .openMetrics, size: 1 << 20).split(separator: "\n")
    let requests = lines.filter { $0.hasPrefix("istio_requests_total{") }
    #expect(requests.count == 1 && requests.first?.hasSuffix(" 2") == true)
    #expect(whole.byRouteName(texts)[.snapshotsTaken] == whole[.snapshotsTaken])
  }

  @Test func namesOfCountersAndGaugesDiffer() {
    let names = ProxyCounter.allCases.map(\.name.description) + ProxyGauge.allCases.map(\.name.description)
    #expect(Set(names).count == names.count)
  }

  @Test func theDictionaryKeepsNumbersAndIsBounded() {
    let dictionary = LabelDictionary()
    var edge = EdgeLabels(reporter: .source)
    edge.serviceName = "a"
    let first = dictionary.edge(edge)
    #expect(first != LabelDictionary.unknownEdge && dictionary.edge(edge) == first)
    #expect(dictionary.texts().edge(first) == edge)
    #expect(dictionary.texts().edge(99_999_999).serviceName == "")
    for number in 0..<(LabelDictionary.maxRoutes + 10) { _ = dictionary.route("r\(number)") }
    #expect(dictionary.route("one more") == LabelDictionary.noRoute)
    #expect(dictionary.texts().route(dictionary.route("r7")) == "r7")
  }
}
