extension LatencySketch {
  /// How many latencies lie above a limit; bucket by bucket, so that the limit is met within a bucket's width.
  /// - Parameters:
  ///   - nanoseconds: the limit.
  ///   - isIncluded: whether the bucket that the limit is the middle of counts as above it.
  package func count(above nanoseconds: Double, isIncluded: Bool) -> UInt64 {
    var total: UInt64 = 0
    let pairs = sparse
    for index in stride(from: 0, to: pairs.count - 1, by: 2) {
      let middle = Self.middle(of: Int(pairs[index]))
      if middle > nanoseconds || (isIncluded && middle == nanoseconds) { total &+= UInt64(pairs[index + 1]) }
    }
    return total
  }
}
