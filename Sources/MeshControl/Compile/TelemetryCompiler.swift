import MeshWire

extension MeshIndex {
  /// What a proxy is to tell; nil where no Telemetry says anything about it.
  ///
  /// - Parameters:
  ///   - labels: of the proxy's workload.
  ///   - services: those that choose it.
  func telemetry(
    labels: [String: String], namespace: String, services: [Typed<ServiceSpec>]
  ) -> TelemetryConfig? {
    let objects = telemetries(labels: labels, namespace: namespace, services: services)
    guard !objects.isEmpty else { return nil }
    func first<Setting>(_ setting: (TelemetrySpec) -> Setting?) -> Setting? {
      for object in objects { if let found = setting(object.spec) { return found } }
      return nil
    }
    var config = TelemetryConfig()
    config.tracing = tracing(objects)
    if let logging = objects.first(where: { !$0.spec.accessLogging.isEmpty }) {
      config.decidesAccessLogs = true
      let exporter = first { $0.exporter }.map(ExporterConfig.init)
      config.accessLogs = logging.spec.accessLogging.compactMap {
        AccessLogConfig($0, source: logging.qualifiedName, exporter: exporter)
      }
    }
    let isPushing = objects.contains { $0.spec.metrics != nil } && first { $0.metrics?.disabled } != true
    if isPushing, let exporter = first({ $0.metrics?.exporter }) ?? first({ $0.exporter }) {
      var metrics = MetricsExportConfig()
      metrics.source = objects.first { $0.spec.metrics != nil }?.qualifiedName ?? ""
      metrics.exporter = ExporterConfig(exporter)
      metrics.intervalMilliseconds = Self.milliseconds(first { $0.metrics?.interval })
      config.metrics = metrics
    }
    return config
  }

  /// Those that hold for a workload, the narrowest first.
  private func telemetries(
    labels: [String: String], namespace: String, services: [Typed<ServiceSpec>]
  ) -> [Typed<TelemetrySpec>] {
    let all = telemetries.values.sorted(by: Typed<TelemetrySpec>.hasPrecedence)
    let own = all.filter { $0.metadata.namespace == namespace }
    let names = Set(services.map(\.metadata.name))
    let choosing = own.filter { object in
      object.spec.selector?.matches(labels) ?? object.spec.targetRefs.contains { names.contains($0.name) }
    }
    func wide(_ object: Typed<TelemetrySpec>) -> Bool { object.spec.selector == nil && object.spec.targetRefs.isEmpty }
    let mesh = all.filter { wide($0) && $0.metadata.namespace == PeerAuthenticationSpec.meshNamespace }
    return choosing + own.filter(wide) + (namespace == PeerAuthenticationSpec.meshNamespace ? [] : mesh)
  }

  private func tracing(_ objects: [Typed<TelemetrySpec>]) -> TracingConfig? {
    func first<Setting>(_ setting: (TelemetrySpec.Tracing) -> Setting?) -> Setting? {
      for object in objects { if let found = object.spec.tracing.flatMap(setting) { return found } }
      return nil
    }
    guard let source = objects.first(where: { $0.spec.tracing != nil }), first({ $0.disabled }) != true else {
      return nil
    }
    var config = TracingConfig()
    config.source = source.qualifiedName
    config.samplePerMillion = first { $0.samplingPercentage?.perMillion }
    config.rules = (first { $0.rules.isEmpty ? nil : $0.rules } ?? []).map { rule in
      var entry = SamplingRuleConfig()
      entry.matches = rule.matches.map { RouteMatchConfig($0) }
      entry.samplePerMillion = rule.samplingPercentage.perMillion
      return entry
    }
    let general = objects.lazy.compactMap(\.spec.exporter).first
    config.exporter = (first { $0.exporter } ?? general).map(ExporterConfig.init)
    config.tags = (first { $0.customTags.isEmpty ? nil : $0.customTags } ?? []).map { tag in
      var entry = SpanTagConfig()
      entry.name = tag.name
      entry.literal = tag.literal ?? ""
      entry.header = tag.header?.name.lowercased() ?? ""
      entry.defaultValue = tag.header?.defaultValue ?? ""
      return entry
    }
    config.propagation = (first { $0.propagation.isEmpty ? nil : $0.propagation } ?? []).map {
      $0.rawValue.lowercased()
    }
    config.forceHeader = first { $0.forceHeader }?.lowercased() ?? ""
    return config
  }
}

extension ExporterConfig {
  init(_ exporter: TelemetrySpec.Exporter) {
    self.init()
    endpoint = exporter.endpoint
    exportProtocol = exporter.exportProtocol == .http ? .http : .grpc
    headers = exporter.headers
    timeoutMilliseconds = MeshIndex.milliseconds(exporter.timeout)
    caFile = exporter.caFile ?? ""
  }
}

extension AccessLogConfig {
  /// Nil where nothing is written: it is switched off, or there is no collector to send it to.
  init?(_ log: TelemetrySpec.AccessLog, source: String, exporter: ExporterConfig?) {
    self.init()
    if log.disabled == true { return nil }
    if log.destination == .otlp {
      guard let exporter else { return nil }
      self.exporter = exporter
    }
    self.source = source
    isDefaultText = log.format == .text && log.text == nil
    text = log.text ?? ""
    fields = log.json.sorted { $0.key < $1.key }.map { name, value in
      var field = LogFieldConfig()
      field.name = name
      field.value = value
      return field
    }
    guard let when = log.when else { return }
    var condition = LogConditionConfig()
    condition.statuses = when.statuses.flatMap { [UInt32($0.range.lowerBound), UInt32($0.range.upperBound)] }
    condition.slowerThanMilliseconds = MeshIndex.milliseconds(when.slowerThan)
    condition.reasons = when.reasons.filter { $0 != "*" }
    condition.anyReason = when.reasons.contains("*")
    condition.sharePerMillion = when.percentage?.perMillion
    self.condition = condition
  }
}
