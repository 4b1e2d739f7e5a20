"""Processes that a test starts: their output kept in files, ended by their own id."""

import glob
import itertools
import os
import random
import signal
import socket
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
APPS = os.path.join(TOP, "Tests", "Integration", "apps")


class Ports:
    """Ports for programs that listen a moment later.

    What the kernel picks for port 0 is of the range that it also takes the near ends of connections from: until the
    program listens, any connection of the machine may get it. These are of below that range (and of what `apus run`
    picks), in a block that no other test run has: a name in the abstract namespace of Unix sockets is its lock, which
    ends with the process.
    """

    FIRST, END, BLOCK = 10240, 16384, 256

    def __init__(self):
        blocks = list(range(self.FIRST, self.END, self.BLOCK))
        random.shuffle(blocks)
        self.lock = socket.socket(socket.AF_UNIX)
        for self.begin in blocks:
            try:
                self.lock.bind(f"\0apus-test-ports-{self.begin}")
                break
            except OSError:
                continue
        else:
            raise RuntimeError("every block of ports is taken by another test run")
        self.turn = itertools.cycle(range(self.begin, self.begin + self.BLOCK))

    def next(self):
        for _ in range(self.BLOCK):
            port = next(self.turn)
            with socket.socket() as probe:
                try:
                    probe.bind(("", port))
                except OSError:
                    continue
                return port
        raise RuntimeError("every port is taken")


PORTS = []


def free_port():
    """A port that nobody listens on, and that nobody else is given."""
    if not PORTS:
        PORTS.append(Ports())
    return PORTS[0].next()


class Program:
    """A started program with its log."""

    def __init__(self, command, log, environment=None, cwd=None):
        self.command, self.log = command, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=environment, cwd=cwd)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and waits for the end."""
        if self.is_running():
            self.process.kill()
        return self.process.wait()

    def stop(self, seconds=20.0):
        """SIGTERM; by force when that does not help. Returns the exit status."""
        if self.is_running():
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {seconds} s of SIGTERM: {self.command}") from None

    def output(self):
        with open(self.log, errors="replace") as file:
            return file.read()


def children(pid):
    """The ids of a process's children."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path) as file:
                found += [int(word) for word in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def resident_bytes(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
