import MeshModel
import Testing

@Suite struct ReasonTests {
  /// `tlsNoClientCertificate` to `tls_no_client_certificate`.
  private func snakeCase(_ name: String) -> String {
    var result = ""
    for character in name {
      if character.isUppercase {
        result.append("_")
        result.append(contentsOf: character.lowercased())
      } else {
        result.append(character)
      }
    }
    return result
  }

  @Test func everyReasonHasTheNameOfItsCase() {
    for reason in Reason.allCases {
      #expect(reason.name.description == snakeCase(String(describing: reason)))
      #expect(Reason(name: reason.name.description) == reason)
    }
    #expect(Reason(name: "no_such_reason") == nil)
  }

  @Test func namesFitALabelAndFlagsAreDistinct() {
    for reason in Reason.allCases {
      #expect(reason.name.utf8CodeUnitCount <= 40)
    }
    let codes = Set(ResponseFlag.allCases.map(\.code.description))
    #expect(codes.count == ResponseFlag.allCases.count)
  }

  @Test func everySentenceIsOneLineForABodyAndEveryRemedyASentence() {
    for reason in Reason.allCases {
      for text in [reason.sentence.description, reason.remedy.description] {
        #expect(text.hasSuffix("."))
        #expect(!text.contains("\n"))
        #expect(text.utf8.count > 10)
      }
    }
  }

  @Test func statusesAreThoseOfErrorsOrAbsent() {
    for reason in Reason.allCases {
      guard let status = reason.httpStatus else { continue }
      #expect((400...599).contains(status), "\(reason)")
    }
    #expect(Reason.directResponse.httpStatus == nil)
    #expect(Reason.noRoute.httpStatus == 404)
    #expect(Reason.noHealthyEndpoint.httpStatus == 503)
    #expect(Reason.requestTimeout.httpStatus == 504)
    #expect(Reason.requestHeadTooLarge.httpStatus == 431)
    #expect(Reason.circuitOpenPending.flag.code.description == "UO")
  }
}
