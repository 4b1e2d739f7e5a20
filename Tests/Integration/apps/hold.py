"""A client application: tells its environment in a file, then waits to be told to end.

  hold.py ENVFILE [EXITSTATUS]     exits with the status on SIGTERM, and writes the names of signals it gets to ENVFILE.signals
"""

import json
import os
import signal
import sys

path = sys.argv[1]
status = int(sys.argv[2]) if len(sys.argv) > 2 else 0


def note(number, _):
    with open(path + ".signals", "a") as log:
        log.write(signal.Signals(number).name + "\n")
    if number == signal.SIGTERM:
        sys.exit(status)


for wanted in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(wanted, note)
with open(path + ".new", "w") as file:
    json.dump(dict(os.environ, PID=str(os.getpid())), file)
os.rename(path + ".new", path)
while True:
    signal.pause()
