import MeshControl
import MeshWire
import MeshXDS

/// A client of one type that keeps what the protocol lets it keep: the yardstick for the server's half.
struct ModelClient {
  let type: ConfigType
  private(set) var resources: [String: String] = [:]
  /// Resources that it refuses at these versions, whatever comes.
  var dislikes: Set<String> = []
  private(set) var responses = 0

  init(type: ConfigType) { self.type = type }

  /// The first request on a new stream.
  func hello(subscribe: [String] = []) -> DeltaDiscoveryRequest {
    var request = DeltaDiscoveryRequest()
    request.typeURL = type.typeURL
    request.subscribe = subscribe
    request.initialVersions = resources
    return request
  }

  /// Applies what it likes of a response and answers it.
  mutating func apply(_ response: DeltaDiscoveryResponse, namesRefused: Bool) -> DeltaDiscoveryRequest {
    responses += 1
    var refused: [RefusedResource] = []
    for resource in response.resources {
      if dislikes.contains(resource.version) {
        var one = RefusedResource()
        one.name = resource.name
        one.message = "not to my taste"
        refused.append(one)
      } else {
        resources[resource.name] = resource.version
      }
    }
    for name in response.removed { resources[name] = nil }
    var request = DeltaDiscoveryRequest()
    request.typeURL = type.typeURL
    request.responseNonce = response.nonce
    if !refused.isEmpty {
      var status = RPCStatus()
      status.code = 3
      status.message = refused.map(\.name).joined(separator: ", ")
      if namesRefused {
        var list = RefusedResources()
        list.resources = refused
        var any = AnyMessage()
        any.typeURL = RefusedResources.typeURL
        any.value = list.protobuf()
        status.details = [any]
      }
      request.errorDetail = status
    }
    return request
  }
}

/// A view with resources whose content is the text beside the name.
func view(_ revision: UInt64, _ contents: [ConfigType: [String: String]]) -> ConfigView {
  var resources: [ConfigType: [String: ConfigResource]] = [:]
  for (type, named) in contents {
    for (name, text) in named {
      resources[type, default: [:]][name] = ConfigResource(name: name, bytes: Array(text.utf8))
    }
  }
  return ConfigView(revision: revision, resources: resources)
}

/// The version that content gets.
func version(_ text: String) -> String { ConfigResource(name: "", bytes: Array(text.utf8)).version }

func request(
  _ type: ConfigType, subscribe: [String] = [], unsubscribe: [String] = [], nonce: String = "", error: String? = nil,
  initial: [String: String] = [:]
) -> DeltaDiscoveryRequest {
  var request = DeltaDiscoveryRequest()
  request.typeURL = type.typeURL
  request.subscribe = subscribe
  request.unsubscribe = unsubscribe
  request.responseNonce = nonce
  request.initialVersions = initial
  if let error {
    var status = RPCStatus()
    status.code = 3
    status.message = error
    request.errorDetail = status
  }
  return request
}
