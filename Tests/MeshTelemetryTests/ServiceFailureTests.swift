import MeshModel
import MeshTelemetry
import Testing

@Suite struct ServiceFailureTests {
  @Test func aClientThatLeavesIsNoFailureOfTheService() {
    #expect(!ServiceFailure.counts(status: 0, grpcStatus: nil, reason: .clientReset))
    #expect(!ServiceFailure.counts(status: 0, grpcStatus: 1, reason: .clientReset))
    #expect(!ServiceFailure.counts(status: 200, grpcStatus: nil, reason: .clientReset))
    // What the service had answered before is its own.
    #expect(ServiceFailure.counts(status: 503, grpcStatus: nil, reason: .clientReset))
    #expect(ServiceFailure.counts(status: 200, grpcStatus: 14, reason: .clientReset))
  }

  @Test func noAnswerIsAFailureWhateverElseWasTheReason() {
    #expect(ServiceFailure.counts(status: 0, grpcStatus: nil, reason: nil))
    for reason in Reason.allCases where reason != .clientReset {
      #expect(ServiceFailure.counts(status: 0, grpcStatus: nil, reason: reason), "\(reason)")
    }
  }

  @Test func statusesTellOfTheServerAndABrokenAnswerFailed() {
    for status in [200, 204, 301, 400, 404, 429, 499] as [UInt16] {
      #expect(!ServiceFailure.counts(status: status, grpcStatus: nil, reason: nil), "\(status)")
    }
    for status in [500, 502, 503, 504, 599] as [UInt16] {
      #expect(ServiceFailure.counts(status: status, grpcStatus: nil, reason: nil), "\(status)")
    }
    let ofTheServer = (0...16 as ClosedRange<UInt8>).filter {
      ServiceFailure.counts(status: 200, grpcStatus: $0, reason: nil)
    }
    #expect(ofTheServer == [2, 4, 13, 14, 15])
    #expect(ServiceFailure.counts(status: 200, grpcStatus: nil, reason: .upstreamTruncated))
    #expect(ServiceFailure.counts(status: 200, grpcStatus: 0, reason: .upstreamReset))
  }
}
