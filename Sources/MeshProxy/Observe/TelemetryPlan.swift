// Unsafe by design: what the traffic path reads of a configuration, as plain pointers without reference counts.
internal import MeshModel
internal import MeshPolicy
internal import MeshTelemetry
internal import MeshWire

/// A header field that somebody wants to have kept.
struct WantedField: BitwiseCopyable {
  /// In lower case.
  var name: UnsafeBufferPointer<UInt8>
  var known: KnownHeader
}

/// A further attribute of spans.
struct TagView: BitwiseCopyable {
  /// Place among the kept fields; -1: `text` is all.
  var note: Int32
  /// A constant, or what stands for a field that is not there.
  var text: UnsafeBufferPointer<UInt8>
}

/// One access log as workers see it.
struct LogView: BitwiseCopyable {
  /// Nil: `builtin`.
  var program: LogProgramView?
  var builtin: AccessLogFormat
  var condition: LogCondition
  /// Goes to a collector, as the log of this place in the plan.
  var goesToCollector: Bool
}

/// What workers need to know of tracing and logging. Valid while its plan lives.
struct TelemetryView: BitwiseCopyable {
  /// Grows with every plan; what was kept under another is not looked at.
  var serial: UInt32
  /// Spans are recorded.
  var isTracing: Bool
  var share: SamplingShare
  /// Shares for some requests, position by position of `ruleShares`; nil: there are none.
  var rules: UnsafePointer<RouteTableView>?
  var ruleShares: UnsafeBufferPointer<SamplingShare>
  /// Forms of B3 that are written in any case.
  var forms: TraceMark.Flags
  var force: WantedField
  var requestFields: UnsafeBufferPointer<WantedField>
  var responseFields: UnsafeBufferPointer<WantedField>
  var logs: UnsafeBufferPointer<LogView>
  var tags: UnsafeBufferPointer<TagView>
  /// Whether a log has a format of its own, which may ask for kept fields.
  var hasPrograms: Bool
  /// Paths of the health checks that are configured; what asks for them as one is no request of anybody.
  var checks: UnsafeBufferPointer<UnsafeBufferPointer<UInt8>>

  /// Whether something is kept of every request.
  var keepsAll: Bool { logs.count > 0 }
}

/// Tracing and logging as configured, compiled: immutable, shared by all workers and the side thread.
package final class TelemetryPlan: @unchecked Sendable {
  // Unchecked: the memory is written in `init` and only read afterwards.
  /// What it was compiled from.
  let source: TelemetryConfig?
  let view: UnsafePointer<TelemetryView>
  let serial: UInt32
  let tagNames: [String]
  /// Where spans go; nil: nowhere.
  let traces: ExporterConfig?
  /// Where lines go of the logs that go to collectors: the first of them.
  let logs: ExporterConfig?
  let metrics: MetricsExportConfig?
  /// Whether lines are written to standard output.
  let writesLines: Bool
  /// What could not be compiled.
  let problems: [SettingViolation]
  private let store = FrozenStore()
  private let rules: RouteTable?
  private let programs: [LogProgram]
  private let format: AccessLogFormat?
  private let checks: [String]

  /// Most access logs of one plan.
  static let maxLogs = 4
  static let defaultForceHeader = "x-apus-trace"
  /// Most different paths of health checks; the checks of more are counted as requests.
  static let maxChecks = 16
  /// Places that every plan has.
  static let forwardedForPlace = 0
  static let userAgentPlace = 1

  /// - Parameters:
  ///   - format: of the access log, where `config` does not decide.
  ///   - checks: paths of the health checks that are configured.
  ///   - previous: the plan before; it is to be kept where it is the same.
  init(_ config: TelemetryConfig?, format: AccessLogFormat?, checks: [String], previous: TelemetryPlan?) {
    source = config
    self.format = format
    self.checks = checks
    serial = (previous?.serial ?? 0) &+ 1
    var builder = Builder(store: store)
    let tracing = config?.tracing?.exporter == nil ? nil : config?.tracing
    traces = tracing?.exporter
    tagNames = (tracing?.tags ?? []).prefix(SpanText.maxTags).map(\.name)
    let tags = builder.tags(tracing)
    let logs = builder.logs(config, format)
    let exported = (config?.accessLogs ?? []).prefix(Self.maxLogs).compactMap(\.exporter)
    self.logs = exported.first
    metrics = config?.metrics?.exporter == nil ? nil : config?.metrics
    writesLines = logs.contains { !$0.goesToCollector }
    rules = builder.rules(tracing)
    programs = builder.programs
    problems = builder.problems
    let kept = store
    let table = rules.map { kept.freeze([$0.view]).baseAddress }
    let shares = (tracing?.rules ?? []).map { SamplingShare(perMillion: $0.samplePerMillion) }
    let forced = tracing?.forceHeader ?? ""
    let memory = store.freeze([
      TelemetryView(
        serial: serial, isTracing: tracing != nil,
        share: SamplingShare(perMillion: tracing?.samplePerMillion ?? 10_000), rules: table ?? nil,
        ruleShares: store.freeze(shares), forms: Self.forms(tracing),
        force: builder.field(forced.isEmpty ? Self.defaultForceHeader : forced.lowercased()),
        requestFields: store.freeze(builder.wanted.request.map { builder.field($0) }),
        responseFields: store.freeze(builder.wanted.response.map { builder.field($0) }), logs: store.freeze(logs),
        tags: store.freeze(tags), hasPrograms: !builder.programs.isEmpty,
        checks: store.freeze(checks.prefix(Self.maxChecks).map { kept.freeze(Array($0.utf8)) }))
    ])
    view = memory.baseAddress.unsafelyUnwrapped
  }

  /// The plan for these settings: the one before, where it was made of the same.
  static func plan(
    _ config: TelemetryConfig?, _ format: AccessLogFormat?, checks: [String], previous: TelemetryPlan?
  ) -> TelemetryPlan {
    if let previous, previous.source == config, previous.format == format, previous.checks == checks { return previous }
    return TelemetryPlan(config, format: format, checks: checks, previous: previous)
  }

  private static func forms(_ tracing: TracingConfig?) -> TraceMark.Flags {
    var forms: TraceMark.Flags = []
    for name in tracing?.propagation ?? [] {
      if name == "b3" { forms.insert(.b3Single) }
      if name == "b3multi" { forms.insert(.b3Multi) }
    }
    return forms
  }

  /// Compiles the parts.
  private struct Builder {
    let store: FrozenStore
    var wanted = WantedFields()
    var programs: [LogProgram] = []
    var problems: [SettingViolation] = []

    init(store: FrozenStore) {
      self.store = store
      _ = wanted.place(request: "x-forwarded-for")
      _ = wanted.place(request: "user-agent")
    }

    func field(_ name: String) -> WantedField {
      WantedField(name: store.freeze(Array(name.utf8)), known: KnownHeader.named(name))
    }

    mutating func tags(_ tracing: TracingConfig?) -> [TagView] {
      (tracing?.tags ?? []).prefix(SpanText.maxTags).map { tag in
        let place = tag.header.isEmpty ? nil : wanted.place(request: tag.header.lowercased())
        let text = tag.header.isEmpty ? tag.literal : tag.defaultValue
        return TagView(note: place.map { Int32($0) } ?? -1, text: store.freeze(Array(text.utf8)))
      }
    }

    mutating func logs(_ config: TelemetryConfig?, _ format: AccessLogFormat?) -> [LogView] {
      guard let config, config.decidesAccessLogs else {
        return format.map {
          [LogView(program: nil, builtin: $0, condition: LogCondition(), goesToCollector: false)]
        } ?? []
      }
      return config.accessLogs.prefix(TelemetryPlan.maxLogs).enumerated().compactMap { log(at: $0, $1) }
    }

    private mutating func log(at index: Int, _ config: AccessLogConfig) -> LogView? {
      var view = LogView(
        program: nil, builtin: config.isDefaultText ? .text : .json, condition: LogCondition(config.condition),
        goesToCollector: config.exporter != nil)
      do throws(LogTemplate.Fault) {
        if !config.text.isEmpty {
          let program = LogProgram(text: try LogTemplate(config.text), wanted: &wanted)
          programs.append(program)
          view.program = program.view
          view.builtin = .text
        } else if !config.fields.isEmpty {
          var fields: [(name: String, value: LogTemplate)] = []
          for field in config.fields { fields.append((field.name, try LogTemplate(field.value))) }
          let program = LogProgram(json: fields, wanted: &wanted)
          programs.append(program)
          view.program = program.view
        }
        return view
      } catch {
        problems.append(SettingViolation(path: "proxy.telemetry.accessLogs[\(index)]", message: error.message))
        return nil
      }
    }

    mutating func rules(_ tracing: TracingConfig?) -> RouteTable? {
      let rules = (tracing?.rules ?? []).enumerated().map { index, rule in
        RouteRule(
          origin: RouteOrigin(namespace: "", name: "", createdSeconds: 0, ruleIndex: index),
          matches: rule.matches.map { RouteMatch($0) }, action: .respond(DirectAnswer(status: 200)))
      }
      guard !rules.isEmpty else { return nil }
      do throws(RouteTableError) {
        return try RouteTable(rules) { _ in .unusable(.backendNotFound) }
      } catch {
        problems += error.violations.map {
          SettingViolation(path: "proxy.telemetry.tracing.\($0.path)", message: $0.message)
        }
        return nil
      }
    }
  }
}

extension LogCondition {
  /// What a message says; nil: every request.
  init(_ config: LogConditionConfig?) {
    self.init()
    guard let config else { return }
    var index = 0
    while index + 1 < config.statuses.count {
      add(StatusRange(from: UInt16(clamping: config.statuses[index]), to: UInt16(clamping: config.statuses[index + 1])))
      index += 2
    }
    slowNanoseconds = config.slowerThanMilliseconds.map { Int64($0) * 1_000_000 }
    for name in config.reasons { if let reason = Reason(name: name) { add(reason) } }
    anyReason = config.anyReason
    let isNarrow = statusCount > 0 || slowNanoseconds != nil || !config.reasons.isEmpty || anyReason
    sharePerMillion = config.sharePerMillion ?? (isNarrow ? 0 : 1_000_000)
  }
}
