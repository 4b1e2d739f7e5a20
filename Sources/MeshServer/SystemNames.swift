import CApusSystem
import Foundation
import MeshControl
import Synchronization

/// Asks name servers by the C library's resolver: each question on a thread of its own, which the resolver holds for some
/// seconds at most.
struct SystemNames: NameResolver {
  /// Addresses of one kind that are read from an answer.
  static let maxAddresses = 1000

  /// The address and port of the server to ask; nil: those of `/etc/resolv.conf`.
  let server: (host: String, port: Int)?

  func hasIPv6() -> Bool { apus_has_ipv6() != 0 }

  func addresses(of name: String, wantsIPv6: Bool) async -> NameAnswer {
    let once = Once()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        once.hold(continuation)
        Thread.detachNewThread { once.finish(ask(name, wantsIPv6: wantsIPv6)) }
      }
    } onCancel: {
      // Nobody waits for a resolver that does not answer.
      once.finish(.failed(.noAnswer))
    }
  }

  private func ask(_ name: String, wantsIPv6: Bool) -> NameAnswer {
    let size = Int(APUS_ADDRESS_SIZE)
    var texts = [CChar](repeating: 0, count: Self.maxAddresses * size)
    var count: Int32 = 0
    var seconds: UInt32 = 0
    let result = apus_lookup(
      name, wantsIPv6 ? 1 : 0, server?.host, Int32(clamping: server?.port ?? 0), &texts, Int32(Self.maxAddresses),
      &count, &seconds)
    switch result {
    case 0:
      let found = (0..<Int(count)).map { index in
        String(decoding: texts[(index * size)..<((index + 1) * size)].prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
      }
      return .addresses(found, holds: .seconds(Int64(seconds)))
    case Int32(APUS_LOOKUP_NO_NAME): return .failed(.noSuchName)
    default: return .failed(.noAnswer)
    }
  }

  /// An answer that is given once, by the thread or by whoever does not wait for it.
  private final class Once: Sendable {
    private enum State {
      case open
      case waited(CheckedContinuation<NameAnswer, Never>)
      case given(NameAnswer)
      case done
    }

    private let state = Mutex(State.open)

    func hold(_ continuation: CheckedContinuation<NameAnswer, Never>) {
      let given: NameAnswer? = state.withLock { state in
        if case .given(let answer) = state {
          state = .done
          return answer
        }
        state = .waited(continuation)
        return nil
      }
      if let given { continuation.resume(returning: given) }
    }

    func finish(_ answer: NameAnswer) {
      let waiting: CheckedContinuation<NameAnswer, Never>? = state.withLock { state in
        switch state {
        case .open: state = .given(answer)
        case .waited(let continuation):
          state = .done
          return continuation
        case .given, .done: break
        }
        return nil
      }
      waiting?.resume(returning: answer)
    }
  }
}
