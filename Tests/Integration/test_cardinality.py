"""A million distinct paths, hosts and trace ids from hostile clients, every one of them recorded: memory stays flat, and
there are no more series."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support import raw
from support.processes import resident_bytes
from support.static import rule

# Requests; each has a path, a host, a request id and a trace id that no other has.
MANY = 1_000_000
BATCH = 1_000


def request(n):
    return (b"GET /path-%d/%x HTTP/1.1\r\nHost: host-%d.example\r\nx-request-id: id-%d\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n"
            % (n, n * 2654435761, n, n, n * 2654435761 + 1, n + 1))


def send(port, first, count):
    """Pipelined, so that it takes seconds; returns how many answers came."""
    with raw.Connection(port, 60) as connection:
        def write():
            for begin in range(first, first + count, BATCH):
                connection.send(b"".join(map(request, range(begin, begin + BATCH))))
        writer = threading.Thread(target=write)
        writer.start()
        answers, rest = 0, b""
        while answers < count:
            data = connection.socket.recv(1 << 20)
            assert data, f"the connection ended after {answers} answers"
            rest += data
            answers += rest.count(b"HTTP/1.1 ")
            # What is cut off at the end may be the beginning of one.
            rest = rest[-8:]
        writer.join()
    return answers


class Sink(BaseHTTPRequestHandler):
    """A collector that takes everything and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture
def proxy(static):
    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    answered = rule(filters={"directResponse": {"status": 200, "body": ""}})
    del answered["backends"]
    exporter = {"endpoint": f"http://127.0.0.1:{sink.server_address[1]}", "protocol": "http"}
    yield static.proxy([static.server()], routes=[answered], proxy={"telemetry": {
        "tracing": {"exporter": exporter}, "decidesAccessLogs": True, "accessLogs": [{"exporter": exporter}]}})
    sink.shutdown()
    sink.server_close()


def series(proxy):
    return [line for line in proxy.admin("/metrics").splitlines() if line.startswith("istio_requests_total{")]


def counter(proxy, name):
    return sum(int(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\d+)", proxy.admin("/metrics"), re.M))


@pytest.mark.timeout(240)
def test_a_million_names_cost_nothing(proxy):
    pid, warm = proxy.program.pid, 100_000
    send(proxy.port, MANY, warm)
    before, kinds = resident_bytes(pid), len(series(proxy))
    assert send(proxy.port, 0, MANY) >= MANY
    grown = resident_bytes(pid) - before
    assert grown < 8 << 20, f"a million names took {grown} bytes"
    after = series(proxy)
    assert len(after) == kinds == 1, after
    assert int(after[0].rsplit(" ", 1)[1]) == MANY + warm
    assert "apus_series_dropped_total 0" in proxy.admin("/metrics")
    # Each was recorded: what found no room on its way out was dropped and counted.
    assert counter(proxy, "apus_spans_recorded_total") + counter(proxy, "apus_spans_dropped_total") >= MANY + warm
    exemplars = raw.get(proxy.admin_port, "/metrics", [("Accept", "application/openmetrics-text")], host="localhost")
    assert exemplars.body.count(b" # {trace_id=") < 64
