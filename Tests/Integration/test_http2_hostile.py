"""HTTP/2 that is meant badly, against a sidecar: floods, bombs, stalls. Each ends at a limit that the documentation
names, costs bounded memory and processor time, harms no other connection, and is counted."""

import json
import os
import socket
import sys
import time

import pytest

from support import http2, raw
from support.http2 import (COMPRESSION_ERROR, ENHANCE_YOUR_CALM, GOAWAY, INITIAL_WINDOW_SIZE, continuation, data, frame, get,
                           headers, ping, priority, reset, settings, window_update)
from support.processes import APPS, Program, free_port, resident_bytes
from support.sidecars import Hop, Pair

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def hops(tmp_path_factory):
    """Sidecars in front of an HTTP/1.1 application that records what it gets, and of an HTTP/2 application."""
    folder, found, programs = tmp_path_factory.mktemp("hostile"), {}, []
    for version, script, extra in ((1, "server.py", ["--record", str(folder / "record")]), (2, "server2.py", [])):
        port = free_port()
        programs.append(Program([sys.executable, os.path.join(APPS, script), "server", *extra],
                                str(folder / f"{script}.log"), {**os.environ, "PORT": str(port)}))
        raw.eventually(lambda port=port: raw.Connection(port).socket.close() is None, 15)
        found[version] = Hop(folder, port, "http" if version == 1 else "http2")
        found[version].application, found[version].record, found[version].held = port, folder / "record", 0
    yield found
    for hop in found.values():
        hop.stop()
    for program in programs:
        program.stop()


@pytest.fixture
def hop(hops):
    """The sidecar, which must be as small, as idle and as ready at the end of a test as before it."""
    hop = hops[1]
    assert raw.get(hop.port).status == 200
    before = resident_bytes(hop.client.pid)
    yield hop
    assert raw.get(hop.port).status == 200
    with http2.Client(hop.port) as client:
        assert client.fetch().status == 200
    assert resident_bytes(hop.client.pid) - max(before, hop.held) < 16 * MEGABYTE
    raw.eventually(lambda: hop.client.metric("apus_requests_active") == 0, 20)
    spent = processor_seconds(hop.client.pid)
    time.sleep(0.5)
    assert processor_seconds(hop.client.pid) - spent < 0.2, "the proxy spins"


def processor_seconds(pid):
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def counted(hop, reason):
    return f'"{reason}"' in hop.client.metrics()


def stream_ids(count):
    return range(1, 2 * count, 2)


FLOODS = {
    "rapid reset": lambda: b"".join(headers(s, get("/delay/1000")) + reset(s) for s in stream_ids(1000)),
    "reset of open requests": lambda: b"".join(headers(s, get(method="POST"), end=False) + reset(s) for s in stream_ids(1000)),
    "made to reset by WINDOW_UPDATE of 0": lambda: b"".join(
        headers(s, get("/delay/1000")) + window_update(0, s) for s in stream_ids(1000)),
    "made to reset by an overflowing window": lambda: b"".join(
        headers(s, get("/delay/1000")) + window_update(2**31 - 1, s) for s in stream_ids(1000)),
    "made to reset by DATA behind the end": lambda: b"".join(
        headers(s, get("/delay/1000")) + data(s, b"x") for s in stream_ids(1000)),
    "made to reset by a second head": lambda: b"".join(
        headers(s, get("/delay/1000")) + headers(s, get()) for s in stream_ids(1000)),
    "made to reset by PRIORITY of four octets": lambda: b"".join(
        headers(s, get("/delay/1000")) + frame(2, 0, s, bytes(4)) for s in stream_ids(1000)),
    "made to reset by a wrong length": lambda: b"".join(
        headers(s, get(method="POST", fields=[("content-length", "1")]), end=False) + data(s, b"xyz")
        for s in stream_ids(1000)),
    "malformed requests": lambda: b"".join(headers(s, get("no-slash")) for s in stream_ids(1000)),
    "CONTINUATION": lambda: headers(1, get(), flags=0) + continuation(1, b"\x00\x01a\x01b", end=False) * 2000,
    "empty CONTINUATION": lambda: headers(1, get(), flags=0) + continuation(1, end=False) * 2000,
    "SETTINGS": lambda: settings((0x99, 1)) * 20000,
    "SETTINGS that move windows": lambda: (settings((INITIAL_WINDOW_SIZE, 1)) + settings((INITIAL_WINDOW_SIZE, 2))) * 10000,
    "PING": lambda: ping() * 20000,
    "answers to PINGs": lambda: ping(flags=1) * 20000,
    "acknowledgements": lambda: settings(flags=1) * 20000,
    "empty DATA": lambda: headers(1, get(method="POST"), end=False) + data(1) * 2000,
    "padding without DATA": lambda: headers(1, get(method="POST"), end=False) + data(1, pad=10) * 2000,
    "PRIORITY": lambda: b"".join(priority(s) for s in stream_ids(20000)),
    "WINDOW_UPDATE": lambda: window_update(1) * 20000,
    "unknown frames": lambda: frame(0xEE, 0, 0, b"x") * 20000,
    "GOAWAY": lambda: http2.goaway() * 20000,
}


@pytest.mark.parametrize("name", list(FLOODS))
def test_floods_end_at_a_limit(hop, name):
    with http2.Client(hop.port, own=[(INITIAL_WINDOW_SIZE, 65535)]) as client:
        client.send(FLOODS[name]())
        assert client.goaway_code() == ENHANCE_YOUR_CALM
    assert counted(hop, "http2_flood")


def test_what_is_reset_is_not_worked_on(hops):
    """Streams that a flood opens and resets end at the application as well."""
    hop = hops[2]
    with http2.Client(hop.port) as client:
        assert client.fetch().status == 200
        client.send(*[headers(s, get("/delay/5000")) + reset(s) for s in [client.stream() for _ in range(100)]])
        client.barrier()

        def settled():
            with http2.Client(hop.application) as direct:
                seen = json.loads(direct.fetch("/streams").body)
            # What had been sent on was reset; the rest never came so far.
            return seen.get("resets", 0) >= seen["streams"] - 10
        raw.eventually(settled)
        assert client.fetch().status == 200


def test_header_bombs(hop):
    """One field of 4 KB in the table, named thousands of times."""
    for _ in range(5):
        with http2.Client(hop.port) as client:
            block = http2.block(get()) + http2.literal("x-bomb", "v" * 4000, 0x40) + b"\xbe" * 12000
            client.send(headers(1, block))
            assert client.goaway_code() == COMPRESSION_ERROR
    assert counted(hop, "http2_flood") or counted(hop, "http2_protocol_error")


def test_heads_that_grow_without_end(hop):
    """Many large CONTINUATION frames: nothing near their size is kept."""
    with http2.Client(hop.port) as client:
        client.send(headers(1, get(), flags=0))
        for _ in range(200):
            client.send(continuation(1, http2.literal("x-large", "v" * 16000), end=False))
        assert client.goaway_code() == ENHANCE_YOUR_CALM


def test_answers_to_a_client_that_does_not_read(hop):
    """PINGs, SETTINGS and refused streams, and the client never reads an answer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", hop.port))
    sock.settimeout(0.5)
    sock.sendall(http2.PREFACE + settings())
    number = 1
    try:
        for _ in range(3000):
            # Requests between the PINGs, so that these are no flood in themselves.
            sock.sendall(ping() * 100 + headers(number, get()))
            number += 2
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    assert resident_bytes(hop.client.pid) < 100 * MEGABYTE
    sock.close()


@pytest.mark.parametrize("own", [[(INITIAL_WINDOW_SIZE, 0)], [(INITIAL_WINDOW_SIZE, 1)]], ids=["zero", "one octet"])
def test_windows_that_stay_shut_under_large_answers(hop, own):
    """50 streams each on 2 connections ask for 10 MB and take nothing: buffers are capped, nothing spins."""
    # What the C library keeps for the next time is not the proxy's.
    hop.held = 100 * MEGABYTE
    clients = [http2.Client(hop.port, 20, own=own) for _ in range(2)]
    for client in clients:
        for _ in range(50):
            client.request("/bytes/10000000")
        client.barrier()
    time.sleep(0.5)
    spent = processor_seconds(hop.client.pid)
    time.sleep(1)
    assert processor_seconds(hop.client.pid) - spent < 0.3, "the proxy spins"
    assert resident_bytes(hop.client.pid) < 100 * MEGABYTE
    with http2.Client(hop.port, 20) as other:
        assert other.fetch().status == 200
    for client in clients:
        client.socket.close()


def test_windows_of_one_octet_cost_no_more_than_their_frames(hop):
    """A client that opens the window octet by octet gets what it asked for."""
    with http2.Client(hop.port, 20, own=[(INITIAL_WINDOW_SIZE, 1)]) as client:
        stream = client.request("/bytes/500")
        while not (found := client.answers.get(stream)) or not found.ended:
            if client.frame().type == http2.DATA:
                client.send(window_update(1, stream))
        assert client.answers[stream].body == (bytes(range(256)) * 2)[:500]


def test_bodies_octet_by_octet(hop):
    """Frames of one octet are no flood, only dear."""
    with http2.Client(hop.port, 20) as client:
        stream = client.request("/hash", "POST", end=False)
        client.send(*[data(stream, b"x") for _ in range(3000)], data(stream, end=True))
        assert b"3000" in client.answer(stream).body


def test_many_idle_connections(hop):
    """An idle HTTP/2 connection costs a few kilobytes."""
    before = resident_bytes(hop.client.pid)
    clients = [http2.Client(hop.port, 20) for _ in range(500)]
    assert (resident_bytes(hop.client.pid) - before) / 500 < 8192
    for client in clients[::50]:
        assert client.fetch().status == 200
    for client in clients:
        client.socket.close()


@pytest.mark.parametrize("fields", [
    [("x-marker", "MARK\r\nx-smuggled: 1")], [("x-marker", "MARK\0")], [("x-\nMARK", "1")], [("MARK-Capital", "1")],
    [("transfer-encoding", "chunked"), ("x-marker", "MARK")], [("connection", "x-marker"), ("x-marker", "MARK")],
    [("host", "elsewhere"), ("x-marker", "MARK")], [("te", "gzip"), ("x-marker", "MARK")],
    [("content-length", "5, 6"), ("x-marker", "MARK")], [("content-length", "-1"), ("x-marker", "MARK")]])
def test_nothing_of_a_malformed_request_is_passed_on(hop, fields):
    with http2.Client(hop.port) as client:
        stream = client.request("/", fields=fields)
        answer = client.answer(stream)
        assert answer.reset is not None or answer.status == 400, answer
        assert client.fetch().status == 200
    assert b"MARK" not in hop.record.read_bytes()


def test_garbage_where_frames_are_due(hop):
    for garbage in (os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n" * 50, b"\xff" * 5000, b"\0" * 5000):
        with http2.Client(hop.port) as client:
            client.send(garbage)
            try:
                while client.frame().type != GOAWAY:
                    pass
            except http2.Closed:
                pass


def test_connections_cut_anywhere(hop):
    """A conversation of every kind of frame, cut after each octet: nothing is left behind."""
    talk = (http2.PREFACE + settings() + headers(1, get("/bytes/100000")) + headers(3, get("/hash", "POST"), end=False)
            + data(3, b"hello", pad=3) + window_update(100, 1) + ping() + headers(5, get(), flags=0) + continuation(5)
            + reset(1) + priority(9) + http2.goaway())
    for end in range(1, len(talk), 3):
        with raw.Connection(hop.port) as connection:
            connection.send(talk[:end])
    raw.eventually(lambda: hop.client.metric("apus_downstream_connections_active") == 0)
    raw.eventually(lambda: hop.client.metric("apus_requests_active") == 0)


def test_resets_in_every_state_leak_nothing(hop):
    """TCP resets while requests and answers are under way."""
    for path, body in (("/delay/200", False), ("/bytes/1000000", False), ("/hash", True)):
        for _ in range(10):
            client = http2.Client(hop.port)
            for _ in range(5):
                stream = client.request(path, "POST" if body else "GET", end=not body)
                if body:
                    client.send(data(stream, bytes(1000)))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.socket.close()
    raw.eventually(lambda: hop.client.metric("apus_downstream_connections_active") == 0, 20)
    raw.eventually(lambda: hop.client.metric("apus_requests_active") == 0, 20)


@pytest.fixture
def hasty(tmp_path, hops):
    """A pair of sidecars whose limits on time are short."""
    limits = ("head-seconds=2", "connection-idle-seconds=3", "body-seconds=2", "handshake-seconds=1")
    with Pair(tmp_path, hops[1].application, arguments=[word for limit in limits for word in ("--limit", limit)]) as pair:
        yield pair


def test_times_can_be_set(hasty):
    """A head or a body that does not arrive, a connection that asks for nothing, a handshake that does not begin: all end
    when they are to."""
    with raw.Connection(hasty.port, 60) as unfinished, http2.Client(hasty.port, 60) as midway, \
            raw.Connection(hasty.port, 60) as quiet, http2.Client(hasty.port, 60) as idle, \
            raw.Connection(hasty.port, 60) as halfway, raw.Connection(hasty.inbound_port, 60) as nobody:
        halfway.send(b"POST /hash HTTP/1.1\r\nHost: server\r\nContent-Length: 100\r\n\r\nabc")
        unfinished.send(b"GET / HTTP/1.1\r\n")
        midway.send(frame(http2.HEADERS, 0, 1, http2.block(get())))
        answer = unfinished.response()
        assert (answer.status, answer.reason) == (408, "header_timeout"), answer
        answer = halfway.response()
        assert (answer.status, answer.reason) == (408, "body_timeout"), answer
        assert nobody.rest() == b"" and quiet.rest() == b""
        assert idle.until(lambda f: f.type == GOAWAY).number(4) == http2.NO_ERROR
        with pytest.raises(http2.Closed):
            while True:
                midway.frame(60)
    assert hasty.client.metric("apus_refusals_total", error_reason="header_timeout") >= 1
    assert hasty.server.metric("apus_refusals_total", error_reason="tls_handshake_timeout") == 1
