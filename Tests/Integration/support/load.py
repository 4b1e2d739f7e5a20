"""Load in the background: the benchmarks' generator, compiled once without TLS, counting every failure."""

import json
import os
import signal
import subprocess

from .processes import TOP


def build(folder):
    program = os.path.join(folder, "load")
    subprocess.run(["cc", "-O2", "-DNO_TLS", "-o", program, os.path.join(TOP, "Benchmarks", "load.c")], check=True)
    return program


class Load:
    """Runs from entering the `with` block to its end, or until its number of requests is done; then `result` is there.

    Options are those of the generator: connections, rate, requests, method, header.
    """

    def __init__(self, program, port, path="/", host="server", seconds=120, connections=8, **options):
        self.command = [program, "--port", str(port), "--path", path, "--host", host, "--seconds", str(seconds),
                        "--connections", str(connections)]
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                self.command += [f"--{name}", str(one)]
        self.result = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        if self.result is None:
            self.finish()

    def finish(self):
        """Stops it; waits for requests under way are not counted either way."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Waits for its own end (of time or of requests)."""
        output, _ = self.process.communicate(timeout=180)
        self.result = json.loads(output)
        return self.result

    def assert_all_answered(self, status=200, at_least=1):
        """Not one request failed, and every answer had the status."""
        result = self.result
        assert result["failed"] == 0 and result["connect_failed"] == 0, result
        assert set(result["statuses"]) == {str(status)}, result
        assert result["requests"] >= at_least, result
