"""Processes that a test starts: their output kept in files, ended by their own id."""

import glob
import os
import signal
import socket
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
APPS = os.path.join(TOP, "Tests", "Integration", "apps")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
