/// What the program's exit status says. `apus run` passes on the application's instead.
package enum ExitStatus: Int32, Sendable, CaseIterable {
  /// Done.
  case success = 0
  /// Not done, for a reason that has no status of its own; also: `check` found something that does not work.
  case failed = 1
  /// The command line is not understood.
  case usage = 2
  /// The control plane refused an object; every violation is listed.
  case refused = 3
  /// What was named is not there.
  case notFound = 4
  /// The control plane does not answer.
  case unreachable = 5
  /// Somebody else changed the object meanwhile.
  case conflict = 6
  /// `rollout status`: the release has not ended.
  case underWay = 7
  /// `--wait`: what was stored is not in force at every connected proxy.
  case notInForce = 8
  /// `run`: the command is there and cannot be run.
  case cannotRun = 126
  /// `run`: the command is not there.
  case commandNotFound = 127

  /// The table that `apus help` ends with.
  package static let help = """
    EXIT STATUS
      0 done, 1 failed, 2 usage, 3 refused by validation, 4 not found,
      5 control plane not reachable, 6 conflict, 7 a release is under way,
      8 stored, but not in force at every proxy (--wait).
      `apus run` exits as its application does: its status, or 128 + the
      signal that ended it; 126 or 127 when the command cannot be run or
      is not there.
    """
}
