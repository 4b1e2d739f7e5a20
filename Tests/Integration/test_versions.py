"""The four mixes of HTTP/1.1 and HTTP/2 through two sidecars: trailers, resets, flow control, WebSockets."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from support import http2, raw
from support.http2 import Listener, Server, data, headers
from support.processes import APPS, Program, free_port, resident_bytes
from support.sidecars import Hop, Pair

PATTERN = bytes(range(256))
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A pair of sidecars for each version that an application may speak."""
    folder, found, programs = tmp_path_factory.mktemp("versions"), {}, []
    for version, script in ((1, "server.py"), (2, "server2.py")):
        port = free_port()
        programs.append(Program([sys.executable, os.path.join(APPS, script), "server"], str(folder / f"{script}.log"),
                                {**os.environ, "PORT": str(port)}))
        raw.eventually(lambda port=port: raw.Connection(port).socket.close() is None, 15)
        found[version] = Pair(folder / str(version), port, "http" if version == 1 else "http2")
        found[version].application = port
    yield found
    for pair in found.values():
        pair.stop()
    for program in programs:
        program.stop()


@pytest.fixture(params=[1, 2], ids=["to HTTP/1.1", "to HTTP/2"])
def pair(pairs, request):
    pairs[request.param].version = request.param
    return pairs[request.param]


both_clients = pytest.mark.parametrize("client", [1, 2], ids=["from HTTP/1.1", "from HTTP/2"])


def curl(client, port, path, *arguments, seconds=60):
    version = "--http1.1" if client == 1 else "--http2-prior-knowledge"
    return subprocess.run(["curl", "-s", version, "--max-time", str(seconds), "-H", "Host: server", *arguments,
                           f"http://127.0.0.1:{port}{path}"], capture_output=True, check=False, timeout=seconds + 10)


@both_clients
def test_bodies_of_many_megabytes(pair, client, tmp_path):
    size = 30_000_000
    answer = curl(client, pair.port, f"/bytes/{size}")
    assert answer.returncode == 0 and len(answer.stdout) == size
    assert hashlib.sha256(answer.stdout).digest() == hashlib.sha256((PATTERN * (size // 256 + 1))[:size]).digest()
    body = os.urandom(size)
    (tmp_path / "body").write_bytes(body)
    for extra in ((), ("-H", "Transfer-Encoding: chunked") if client == 1 else ()):
        answer = curl(client, pair.port, "/hash", "--data-binary", f"@{tmp_path / 'body'}", "-H", "Expect:", *extra)
        found = json.loads(answer.stdout)
        assert found["length"] == size and found["sha256"] == hashlib.sha256(body).hexdigest()


def test_bodies_that_come_in_one_read_keep_apart(pairs, tmp_path):
    """Frames of many answers lie side by side on one connection of the application's, for five clients at a time."""
    with Hop(tmp_path, pairs[2].application, "http2") as hop:
        clients = [http2.Client(hop.port, 30, own=[(http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW)]) for _ in range(5)]
        asked = []
        for turn in range(8):
            for number, client in enumerate(clients):
                client.send(http2.window_update(1 << 20))
                size = 1000 + 9001 * (turn * len(clients) + number)
                asked.append((client, client.request(f"/bytes/{size}"), size))
        for client, stream, size in asked:
            answer = client.answer(stream)
            assert answer.ended and answer.body == (PATTERN * (size // 256 + 1))[:size], (stream, size, len(answer.body))
        for client in clients:
            client.socket.close()


@both_clients
def test_trailers_both_ways(pair, client):
    if client == 2:
        with http2.Client(pair.port) as c:
            stream = c.request("/trailers", "POST", [("trailer", "x-up"), ("te", "trailers")], end=False)
            c.send(data(stream, b"body"), headers(stream, [("x-up", "4")]))
            answer = c.answer(stream)
            body, trailers, received = answer.body, answer.trailers, answer.header("x-received-trailers")
    else:
        with raw.Connection(pair.port) as c:
            c.send(b"POST /trailers HTTP/1.1\r\nHost: server\r\nTE: trailers\r\nTrailer: x-up\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-up: 4\r\n\r\n")
            answer = c.response()
            body, received = answer.body, answer.header("x-received-trailers")
            trailers = [tuple(line.split(": ")) for line in answer.trailers]
    assert (body, trailers, received) == (b"hello world", [("x-sum", "11")], "x-up: 4"), answer


@both_clients
def test_heads_and_bodiless_answers(pair, client):
    for method, path, status in (("HEAD", "/", 200), ("GET", "/status/204", 204), ("GET", "/status/304", 304),
                                 ("GET", "/status/404", 404)):
        if client == 2:
            with http2.Client(pair.port) as c:
                answer = c.fetch(path, method=method)
                assert answer.ended and answer.reset is None, answer
        else:
            answer = raw.get(pair.port, path, method=method)
        assert answer.status == status and (status == 404) == bool(answer.body), (method, path, answer)


@both_clients
def test_an_answer_that_breaks_off_is_seen_to(pair, client):
    for _ in range(3):
        if client == 2:
            with http2.Client(pair.port) as c:
                answer = c.fetch("/stop-after/100000")
                assert answer.reset is not None and not answer.ended, answer
                assert c.fetch("/").status == 200
        else:
            with raw.Connection(pair.port) as c, pytest.raises(EOFError):
                c.request("GET", "/stop-after/100000")
                c.response()
                raise AssertionError("a truncated answer was taken for a whole one")


@both_clients
def test_a_client_that_goes_away_ends_the_work(pair, client):
    if pair.version == 1:
        # The application's connection is ended or its answer read to its end: either way it is not left waiting.
        path = "/bytes/2000000000"
    else:
        path = "/endless"
        before = json.loads(raw_h2(pair.application, "/streams"))
    if client == 2:
        c = http2.Client(pair.port)
        stream = c.request(path)
        c.head(stream)
        c.send(http2.reset(stream))
        c.barrier()
        c.socket.close()
    else:
        c = raw.Connection(pair.port)
        c.request("GET", path)
        c._until(b"\r\n\r\n")
        c.socket.close()
    if pair.version == 2:
        raw.eventually(lambda: json.loads(raw_h2(pair.application, "/streams")).get("resets", 0)
                       == before.get("resets", 0) + 1)
    else:
        raw.eventually(lambda: pair.server.metric("istio_requests_total", response_flags="DC") >= 1
                       or pair.client.metric("istio_requests_total") >= 1)
    assert curl(client, pair.port, "/").stdout == b"server\n"


def raw_h2(port, path):
    with http2.Client(port) as c:
        return c.fetch(path).body


@both_clients
def test_a_reader_that_does_not_read_holds_the_application_back(pair, client):
    """No more than buffers and windows is taken from the application, and all of it comes when the reader goes on."""
    size = 80_000_000
    before = [resident_bytes(sidecar.pid) for sidecar in pair.sidecars]
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.connect(("127.0.0.1", pair.port))
    if client == 2:
        sock.sendall(http2.PREFACE + http2.settings((http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW))
                     + http2.window_update(http2.LARGEST_WINDOW - 65535)
                     + headers(1, http2.get(f"/bytes/{size}")))
    else:
        sock.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n".encode())
    time.sleep(1.0)
    after = [resident_bytes(sidecar.pid) for sidecar in pair.sidecars]
    assert all(b - a < 24 << 20 for a, b in zip(before, after)), (before, after)
    # Others are served meanwhile.
    assert curl(client, pair.port, "/").stdout == b"server\n"
    sock.settimeout(30)
    total = 0
    while total < size:
        piece = sock.recv(1 << 20)
        assert piece, f"ended after {total} bytes"
        total += len(piece)
    sock.close()


@both_clients
def test_an_application_that_does_not_read_holds_the_client_back(client, tmp_path):
    """A body is not taken in faster than the application reads it."""
    for protocol in ("http", "http2"):
        with Listener() as listener, Pair(tmp_path / protocol, listener.port, protocol) as pair:
            pair.client.metrics()
            before = [resident_bytes(sidecar.pid) for sidecar in pair.sidecars]
            command = ["curl", "-s", "--http1.1" if client == 1 else "--http2-prior-knowledge", "--max-time", "20",
                       "-H", "Expect:", "-H", "Transfer-Encoding: chunked" if client == 1 else "x: y", "-T", "-",
                       f"http://127.0.0.1:{pair.port}/"]
            with open("/dev/zero", "rb") as endless, subprocess.Popen(
                    command, stdin=endless, stdout=subprocess.DEVNULL) as process:
                accepted = listener.accept()
                time.sleep(1.0)
                after = [resident_bytes(sidecar.pid) for sidecar in pair.sidecars]
                process.terminate()
            accepted.close()
            assert all(b - a < 24 << 20 for a, b in zip(before, after)), (protocol, before, after)


@both_clients
def test_expectations_and_interim_heads(client, tmp_path):
    """An application's 100 and 103 come through before its answer."""
    with Listener() as listener, Pair(tmp_path, listener.port, "http2") as pair:
        expect = [("expect", "100-continue"), ("content-length", "5")]
        if client == 2:
            c = http2.Client(pair.port)
            stream = c.request("/", "POST", expect, end=False)
        else:
            c = raw.Connection(pair.port)
            c.send(b"POST / HTTP/1.1\r\nHost: server\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        with Server(listener.accept()) as server:
            called = server.next_request()
            server.send(headers(called, [(":status", "100")], end=False))
            if client == 2:
                while not c.answers.get(stream) or not c.answers[stream].interim:
                    c.frame()
                c.send(data(stream, b"hello", end=True))
            else:
                assert c._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
                c.send(b"hello")
            assert server.answer(called).body == b"hello"
            server.respond(called, body=b"fine")
            answer = c.answer(stream) if client == 2 else c.response()
            assert (answer.status, answer.body) == (200, b"fine")
        c.socket.close()


def heard(pair, client, path="/headers", method="GET", fields=()):
    """The answer, and the value of each field with which the application was asked, if it was."""
    if client == 2:
        with http2.Client(pair.port) as c:
            answer = c.fetch(path, method=method, fields=list(fields))
    else:
        answer = raw.get(pair.port, path, method=method, fields=list(fields))
    found = json.loads(answer.body) if answer.reason is None else []
    return answer, {name.lower(): value for name, value in (found["fields"] if isinstance(found, dict) else found)}


@both_clients
def test_priorities_pass(pair, client):
    """RFC 9218's field is for the application; nobody on the way acts on it."""
    assert heard(pair, client, fields=[("priority", "u=1, i")])[1]["priority"] == "u=1, i"


@both_clients
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_ends_at_the_proxy_that_it_allows(pair, client, method):
    """RFC 9110, section 7.6.2: each of the two proxies is a hop."""
    for hops in ("0", "1", "00"):
        answer, _ = heard(pair, client, method=method, fields=[("max-forwards", hops)])
        assert (answer.status, answer.reason) == (501 if method == "TRACE" else 200, "max_forwards_reached"), answer
    for sent, left in (("2", 0), ("3", 1), ("11", 9), ("100", 98), ("1000000", 999_998)):
        answer, found = heard(pair, client, method=method, fields=[("max-forwards", sent)])
        assert answer.status == 200 and int(found["max-forwards"]) == left, (sent, found)
    for nonsense in ("x", "-1", "1x", "1,2"):
        assert heard(pair, client, method=method, fields=[("max-forwards", nonsense)])[1]["max-forwards"] == nonsense
    # Of other methods it says nothing.
    assert heard(pair, client, fields=[("max-forwards", "0")])[1]["max-forwards"] == "0"


# WebSockets: RFC 6455 over HTTP/1.1, RFC 8441 over HTTP/2.

@both_clients
def test_websockets(pair, client):
    if client == 2:
        with http2.Client(pair.port) as c:
            assert c.settings.get(http2.ENABLE_CONNECT_PROTOCOL) == 1
            stream = c.stream()
            c.send(headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                    (":path", "/upgrade"), (":authority", "server"), ("sec-websocket-version", "13")],
                           end=False))
            answer = c.head(stream)
            assert answer.status == 200, answer
            assert answer.header("sec-websocket-accept") is None and answer.header("upgrade") is None, answer
            for piece in (b"\x81\x85\0\0\0\0hello", b"\x82\x80\0\0\0\0"):
                have = len(answer.body)
                c.send(data(stream, piece))
                while len(answer.body) < have + len(piece):
                    c.frame()
            assert answer.body == b"\x81\x85\0\0\0\0hello\x82\x80\0\0\0\0"
            c.send(data(stream, end=True))
            assert c.answer(stream).ended
    else:
        key = base64.b64encode(os.urandom(16))
        with raw.Connection(pair.port) as c:
            c.send(b"GET /upgrade HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
            answer = c.response()
            assert answer.status == 101, answer
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            assert answer.header("sec-websocket-accept") == accept, answer
            c.send(b"\x81\x85\0\0\0\0hello")
            assert c._exactly(11) == b"\x81\x85\0\0\0\0hello"


def asks_for_websocket(client, path):
    """The answer to extended CONNECT, whole."""
    stream = client.stream()
    client.send(headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                 (":path", path), (":authority", "server"), ("sec-websocket-version", "13")], end=False))
    return client.answer(stream)


@pytest.mark.parametrize("hops", [1, 2], ids=["one proxy", "two proxies"])
def test_a_websocket_that_is_not_accepted_does_not_look_accepted(pairs, hops, tmp_path):
    """RFC 8441, section 5: a client on HTTP/2 takes each 2xx for acceptance. Of HTTP/1.1 only 101 is one."""
    before = pairs[1] if hops == 2 else Hop(tmp_path, pairs[1].application)
    ignored = ("/", "/bytes/100000", "/status/204", "/status/201")

    def asked():
        return json.loads(raw.get(pairs[1].application, "/counts").body)
    try:
        with http2.Client(before.port) as c:
            for path in ignored:
                earlier = asked().get(path, 0)
                answer = asks_for_websocket(c, path)
                assert (answer.status, answer.reason) == (502, "upstream_protocol_error"), (path, answer)
                # It was not asked a second time.
                assert asked().get(path, 0) == earlier + 1, path
            for status in (302, 403, 404, 500):
                answer = asks_for_websocket(c, f"/status/{status}")
                assert (answer.status, answer.reason) == (status, None), answer
            # The connection goes on, and the endpoint is not blamed.
            assert c.fetch("/").body == b"server\n"
        page = raw.get(before.client.admin_port, "/decisions?reason=upstream_protocol_error", host="localhost").body
        endpoint = f"127.0.0.1:{pairs[1].application if hops == 1 else pairs[1].inbound_port}"
        found = [(d["path"], d["status"], d["endpoint"], d["attempts"]) for d in json.loads(page)["decisions"]]
        assert sorted(found) == sorted((path, 502, endpoint, 1) for path in ignored), found
    finally:
        if hops == 1:
            before.stop()


def test_many_clients_ride_on_few_connections(pairs):
    """Requests of 50 HTTP/1.1 connections go through one or two between the proxies, at the same time."""
    pair = pairs[2]
    clients = [raw.Connection(pair.port) for _ in range(50)]
    for client in clients:
        client.request("GET", "/delay/200")
    for client in clients:
        assert client.response().status == 200
    with open("/proc/net/tcp") as file:
        between = [line for line in file.read().splitlines()[1:]
                   if line.split()[2].endswith(f":{pair.inbound_port:04X}") and line.split()[3] == "01"]
    assert 1 <= len(between) <= 4, between
    for client in clients:
        client.socket.close()
