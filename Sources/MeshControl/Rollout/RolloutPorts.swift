/// Calls servers outside the mesh: gates and metrics.
package protocol WebCaller: Sendable {
  /// One request; never throws, since every failure is an answer to whoever asked.
  func call(_ method: String, _ url: String, body: [UInt8], timeout: Duration) async -> WebAnswer
}

/// What came of a call.
package enum WebAnswer: Sendable, Equatable {
  /// The body is cut where it is too long.
  case answered(status: Int, body: [UInt8])
  /// No answer; for people, why.
  case failed(String)
}

/// Carries out what people ask of rollouts.
package protocol RolloutControl: Sendable {
  /// - Returns: the status after it.
  func perform(_ command: RolloutCommand, namespace: String, name: String) async throws(RolloutRefusal) -> RolloutStatus
}

/// Why a command was not carried out.
package enum RolloutRefusal: Error, Sendable, Equatable {
  /// The rollout is not in a state in which that means anything; for people, why.
  case notNow(String)
  case store(StoreError)
}

extension GateAnswer {
  /// What an answer of a gate's server means.
  package init(_ answer: WebAnswer) {
    switch answer {
    case .answered(let status, _) where (200..<300).contains(status): self = .open
    case .answered(let status, let body):
      let text = String(decoding: body.prefix(200).filter { (0x20...0x7E).contains($0) }, as: UTF8.self)
      let why = text.isEmpty ? "status \(status)" : "status \(status): \(text)"
      let isRefusal = (400..<500).contains(status) && ![408, 425, 429].contains(status)
      self = isRefusal ? .refused(why) : .closed(why)
    case .failed(let why): self = .closed(why)
    }
  }
}

/// The instant query of the Prometheus API.
package enum PrometheusQuery {
  /// The URL of a query.
  package static func url(_ base: String, query: String) -> String {
    let root = base.hasSuffix("/") ? String(base.dropLast()) : base
    return "\(root)/api/v1/query?query=\(encoded(query))"
  }

  /// The one number of an answer: a scalar, or a vector with one element.
  package static func figure(_ answer: WebAnswer) -> (value: Double?, problem: String?) {
    switch answer {
    case .failed(let why): return (nil, why)
    case .answered(let status, let body):
      guard status == 200, let value = try? JSONReader.read(body), value["status"]?.text == "success" else {
        return (nil, "status \(status)")
      }
      let data = value["data"]
      let pair: Value?
      switch data?["resultType"]?.text {
      case "scalar": pair = data?["result"]
      case "vector":
        let elements = data?["result"]?.elements ?? []
        guard elements.count == 1 else { return (nil, "the query gives \(elements.count) figures; one is due") }
        pair = elements[0]["value"]
      default: return (nil, "the query gives neither a number nor a vector")
      }
      guard let text = pair?.elements?.last?.text, let number = Double(text), number.isFinite else {
        return (nil, "the figure is no number")
      }
      return (number, nil)
    }
  }

  private static func encoded(_ text: String) -> String {
    text.utf8.map { byte in
      if TextFormat.isAlphanumeric(byte) || "-._~".utf8.contains(byte) { return String(Unicode.Scalar(byte)) }
      let digits = String(byte, radix: 16, uppercase: true)
      return "%\(digits.utf8.count == 1 ? "0" : "")\(digits)"
    }.joined()
  }
}
