"""Large bodies through a pair of proxies: every byte arrives, and the proxies stay small."""

import hashlib
import json
import sys

import pytest

from support import raw
from support.processes import resident_bytes

GIGABYTE = 1 << 30
LIMIT = 20_000_000
PIECE = bytes(range(256)) * 4096


def peak_bytes(pid):
    """The most memory a process has had resident."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


@pytest.fixture
def pair(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    return server, client


def assert_small(*workloads):
    for workload in workloads:
        peak = peak_bytes(workload.sidecar_pid)
        assert peak < LIMIT, f"the proxy of {workload.uid} grew to {peak / 1e6:.1f} MB"


def test_a_gigabyte_up(pair):
    server, client = pair
    expected = hashlib.sha256()
    with raw.Connection(client.forward_port, 120) as connection:
        connection.send(b"POST http://server/hash HTTP/1.1\r\nHost: server\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
        for _ in range(GIGABYTE // len(PIECE)):
            connection.send(PIECE)
            expected.update(PIECE)
        answer = json.loads(connection.response().body)
    assert answer == {"sha256": expected.hexdigest(), "length": GIGABYTE}
    assert_small(server, client)


def test_a_gigabyte_down(pair):
    server, client = pair
    expected, received, length = hashlib.sha256(), hashlib.sha256(), 0
    for _ in range(GIGABYTE // len(PIECE)):
        expected.update(PIECE)
    with raw.Connection(client.forward_port, 120) as connection:
        connection.request("GET", f"http://server/bytes/{GIGABYTE}")
        head = connection._until(b"\r\n\r\n")
        assert b"200" in head.split(b"\r\n")[0]
        while length < GIGABYTE:
            data = connection._exactly(min(1 << 20, GIGABYTE - length))
            received.update(data)
            length += len(data)
    assert received.digest() == expected.digest()
    assert_small(server, client)


def test_chunked_bodies_of_every_shape(pair):
    _, client = pair
    for sizes in ([1] * 300, [65536, 1, 65535, 7], [1 << 20, 3]):
        body = b"".join(bytes([size & 0xFF]) * size for size in sizes)
        at, pieces = 0, []
        for size in sizes:
            pieces.append(b"%x\r\n" % size + body[at:at + size] + b"\r\n")
            at += size
        with raw.Connection(client.forward_port) as connection:
            connection.send(b"POST http://server/hash HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                connection.send(piece)
            connection.send(b"0\r\n\r\n")
            answer = json.loads(connection.response().body)
        assert answer == {"sha256": hashlib.sha256(body).hexdigest(), "length": len(body)}


def test_a_reader_that_stops_is_not_read_ahead_for(pair):
    """Twenty of them: what each began with (256 KiB), and all that the connection between the proxies may grow by (16 MiB)
    lie in the sidecar that they do not read from, above the memory of an idle one. They were promised a gigabyte."""
    server, client = pair
    stopped = []
    try:
        for _ in range(20):
            connection = raw.Connection(client.forward_port)
            connection.request("GET", "http://server/bytes/50000000")
            stopped.append(connection)
        raw.eventually(lambda: server.counts().get("/bytes/50000000") == 20)
        assert client.get("http://server/").status == 200
        # Until nothing more comes: it is memory at rest that counts.
        sizes = [0]

        def settled():
            sizes.append(sum(resident_bytes(workload.sidecar_pid) for workload in (server, client)))
            return abs(sizes[-1] - sizes[-2]) < 100_000
        raw.eventually(settled, every=0.5)
        for workload in (server, client):
            assert resident_bytes(workload.sidecar_pid) < LIMIT + (20 * 256 << 10) + (16 << 20)
    finally:
        for connection in stopped:
            connection.socket.close()
    raw.eventually(lambda: client.get("http://server/").status == 200)


def test_a_writer_whose_peer_does_not_read_is_held_back(mesh, namespace):
    sleeper = mesh.run("sleeper", sys.executable, "-c",
                       "import json, os, socket, sys, time\n"
                       "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
                       "json.dump(dict(os.environ, PID=str(os.getpid())), open(sys.argv[1], 'w'))\n"
                       "kept = []\n"
                       "while True: kept.append(s.accept())", "{env}", namespace=namespace)
    client = mesh.client(namespace=namespace)
    raw.eventually(lambda: sleeper.uid in client.admin("/config_dump").body.decode())
    mesh.pause(1)
    with raw.Connection(client.forward_port, 3) as connection:
        connection.send(b"POST http://sleeper/ HTTP/1.1\r\nHost: sleeper\r\nContent-Length: 1000000000\r\n\r\n")
        sent = 0
        try:
            while sent < 200_000_000:
                sent += connection.socket.send(PIECE)
        except TimeoutError:
            pass
        assert sent < 100_000_000, "nobody reads, and the proxies took it all"
        assert_small(sleeper, client)
