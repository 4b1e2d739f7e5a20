"""A million distinct paths, hosts and trace ids from hostile clients: memory stays flat, and there are no more series."""

import threading

import pytest

from support import raw
from support.processes import resident_bytes
from support.static import rule

# Of each kind; three kinds are a million.
EACH = 340_000
BATCH = 500

KINDS = {
    "paths": lambda n: b"GET /path-%d/%x HTTP/1.1\r\nHost: server\r\n\r\n" % (n, n * 2654435761),
    "hosts": lambda n: b"GET /hosts HTTP/1.1\r\nHost: host-%d.example\r\n\r\n" % n,
    "trace ids": lambda n: b"GET /traces HTTP/1.1\r\nHost: server\r\nx-request-id: id-%d\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n"
                           % (n, n * 2654435761 + 1, n + 1),
}


def send(port, make, count):
    """Pipelined, so that it takes seconds; returns how many answers came."""
    with raw.Connection(port, 60) as connection:
        def write():
            for first in range(0, count, BATCH):
                connection.send(b"".join(make(n) for n in range(first, first + BATCH)))
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


@pytest.fixture
def proxy(static):
    answered = rule(filters={"directResponse": {"status": 200, "body": ""}})
    del answered["backends"]
    return static.proxy([static.server()], routes=[answered], proxy={})


def series(proxy):
    return [line for line in proxy.admin("/metrics").splitlines() if line.startswith("istio_requests_total{")]


def test_a_million_names_cost_nothing(proxy):
    pid = proxy.program.pid
    for make in KINDS.values():
        send(proxy.port, make, 20_000)
    before, kinds = resident_bytes(pid), len(series(proxy))
    for make in KINDS.values():
        assert send(proxy.port, make, EACH) >= EACH
    grown = resident_bytes(pid) - before
    assert grown < 6 << 20, f"a million names took {grown} bytes"
    after = series(proxy)
    assert len(after) == kinds <= 3, after
    counted = sum(int(line.rsplit(" ", 1)[1]) for line in after)
    assert counted == 3 * (EACH + 20_000)
    assert "apus_series_dropped_total 0" in proxy.admin("/metrics")
