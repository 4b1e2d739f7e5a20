/// One attempt of a request that did not become its answer. A plain record of 40 bytes.
package struct FailedAttempt: Sendable, BitwiseCopyable {
  /// The endpoint: 16 bytes of address, the edge's number in the `LabelDictionary`.
  package var address: (UInt64, UInt64) = (0, 0)
  package var edge: UInt32 = 0
  /// From the request's beginning to the attempt's, microseconds.
  package var begun: UInt32 = 0
  /// From the attempt's start to its failure, microseconds.
  package var microseconds: UInt32 = 0
  package var port: UInt16 = 0
  /// The kernel's address family; 0: there was no endpoint.
  package var family: UInt16 = 0
  /// The status with which the endpoint answered; 0: it did not. With `reason` 0 as well: a second attempt beside it was
  /// quicker.
  package var status: UInt16 = 0
  /// `grpc-status` of its answer; 255: none.
  package var grpcStatus: UInt8 = 255
  /// The `Reason`; 0: the endpoint's own answer was tried again.
  package var reason: UInt8 = 0

  package init() {}
}

/// The attempts of one request that did not become its answer: the first three and the last, however many there were. What
/// `apus why` and spans tell of attempts is read from here.
package struct AttemptTrail: Sendable, BitwiseCopyable {
  /// Attempts that are told one by one.
  package static let capacity = 4

  private var attempts = InlineArray<4, FailedAttempt>(repeating: FailedAttempt())
  /// Attempts that failed, those that are not kept among them.
  package private(set) var count: UInt8 = 0

  package init() {}

  /// Adds an attempt; where all places are taken it takes the last one's.
  package mutating func note(_ attempt: FailedAttempt) {
    attempts[min(Int(count), Self.capacity - 1)] = attempt
    count = count == .max ? .max : count &+ 1
  }

  /// Those that are kept, in order.
  package var kept: [FailedAttempt] { (0..<min(Int(count), Self.capacity)).map { attempts[$0] } }
}

/// Trails of the requests under way that had an attempt fail. Requests hold a number, so that those without a retry, which
/// are nearly all, cost nothing. Memory of a fixed size, taken from the system as far as it is used. Not to be shared
/// between threads.
package final class AttemptTrails {
  /// Requests whose attempts are told at the same time; those of more are not.
  package static let capacity = 1_024

  private struct State {
    var trails: UnsafeMutablePointer<AttemptTrail>
    /// Numbers that are free again, as a list through `next`.
    var next: UnsafeMutablePointer<UInt16>
    var firstFree: UInt16 = 0
    /// Trails that were ever used; their numbers begin at 1.
    var used: UInt16 = 0
  }

  private let state: UnsafeMutablePointer<State>

  package init() {
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(trails: .allocate(capacity: Self.capacity), next: .allocate(capacity: Self.capacity)))
  }

  deinit {
    state.pointee.trails.deallocate()
    state.pointee.next.deallocate()
    state.deallocate()
  }

  /// Adds an attempt to a trail.
  /// - Parameter number: of the request's trail; 0: it has none yet.
  /// - Returns: the number of its trail; 0 where there is no room for another.
  package func note(_ attempt: FailedAttempt, in number: UInt16) -> UInt16 {
    var number = number
    if number == 0 {
      number = take()
      guard number > 0 else { return 0 }
      (state.pointee.trails + Int(number &- 1)).initialize(to: AttemptTrail())
    }
    guard number <= state.pointee.used else { return 0 }
    state.pointee.trails[Int(number &- 1)].note(attempt)
    return number
  }

  private func take() -> UInt16 {
    let free = state.pointee.firstFree
    if free > 0 {
      state.pointee.firstFree = state.pointee.next[Int(free &- 1)]
      return free
    }
    guard Int(state.pointee.used) < Self.capacity else { return 0 }
    state.pointee.used &+= 1
    return state.pointee.used
  }

  /// The trail with a number; nil for 0.
  package subscript(number: UInt16) -> AttemptTrail? {
    number > 0 && number <= state.pointee.used ? state.pointee.trails[Int(number &- 1)] : nil
  }

  /// Gives a number back; 0 is none.
  package func free(_ number: UInt16) {
    guard number > 0, number <= state.pointee.used else { return }
    state.pointee.next[Int(number &- 1)] = state.pointee.firstFree
    state.pointee.firstFree = number
  }
}
