"""gRPC through two sidecars: the interoperability cases with gRPC's C library at both ends, compressed messages with a
server by hand, and what the mesh itself says to a gRPC client."""

import os
import sys
import threading
import time
import zlib

import grpc
import pytest

from support import http2, interop, raw
from support.http2 import Listener, Server, data, headers
from support.interop import SERVICE, body_of, fails, simple_request
from support.processes import APPS, Program, free_port, resident_bytes
from support.sidecars import Pair

sys.path.insert(0, APPS)

from interop import decode, encode, first, payload  # noqa: E402  (apps/interop.py)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("grpc"), free_port()
    program = Program([sys.executable, os.path.join(APPS, "interop.py")], str(folder / "application.log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    with Pair(folder, port, "grpc") as found:
        yield found
    program.stop()


@pytest.mark.parametrize("case", interop.CASES, ids=[case.__name__ for case in interop.CASES])
def test_interoperability(pair, case):
    with interop.Stub(pair.port) as stub:
        case(stub)


def test_statuses_are_counted_from_trailers(pair):
    def count(status):
        return [sidecar.metric("istio_requests_total", grpc_response_status=status) for sidecar in pair.sidecars]
    before = [count(status) for status in ("0", "2", "12")]
    with interop.Stub(pair.port) as stub:
        stub.unary("EmptyCall")
        fails(grpc.StatusCode.UNKNOWN, lambda: stub.unary("UnaryCall", simple_request(code=2, message="no")))
        fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unary("UnimplementedCall"))
    raw.eventually(lambda: [count(status) for status in ("0", "2", "12")] == [[n + 1 for n in one] for one in before])


# A million messages each way: more than gRPC's Python library makes in seconds, so both ends are by hand.

MESSAGES, IN_A_FRAME = 1_000_000, 2_000
BATCH = (bytes(4) + b"\x02ok") * IN_A_FRAME
WINDOWS = [(http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW)]


class Sender:
    """Sends parts of a body as the other side's windows allow."""

    def __init__(self, peer, stream):
        self.peer, self.stream = peer, stream
        self.window = peer.settings.get(http2.INITIAL_WINDOW_SIZE, 65535)
        self.connection = 65535 + sum(f.number() for f in peer.seen if f.type == http2.WINDOW_UPDATE and not f.stream)
        self.changed = threading.Condition()

    def note(self, found):
        if found.type == http2.WINDOW_UPDATE:
            with self.changed:
                self.window += found.number() if found.stream else 0
                self.connection += 0 if found.stream else found.number()
                self.changed.notify()

    def send(self, payload):
        with self.changed:
            assert self.changed.wait_for(lambda: min(self.window, self.connection) >= len(payload), 30)
            self.window, self.connection = self.window - len(payload), self.connection - len(payload)
        self.peer.send(data(self.stream, payload))


def echo_messages(listener, problems):
    """A server that sends every byte of a call back as it comes, and its status at the end."""
    try:
        with Server(listener.accept(20), 60, own=WINDOWS) as server:
            server.send(http2.window_update(http2.LARGEST_WINDOW - 65535))
            stream = server.next_request()
            server.send(headers(stream, [(":status", "200"), ("content-type", "application/grpc")], end=False))
            sender, waiting = Sender(server, stream), b""
            while not server.answers[stream].ended or waiting:
                part = waiting[:max(0, min(sender.window, sender.connection, 16384))]
                if part:
                    sender.send(part)
                    waiting = waiting[len(part):]
                    continue
                found = server.frame()
                sender.note(found)
                if found.type == http2.DATA:
                    waiting += found.payload
                server.answers[stream].body = b""
            server.send(headers(stream, [("grpc-status", "0")]))
    except Exception as problem:  # pylint: disable=broad-exception-caught
        problems.append(problem)


def test_a_million_messages_take_no_memory(tmp_path):
    """A million messages in one call, each of them sent back: the sidecars count them and do not grow with them."""
    problems = []
    with Listener() as listener, Pair(tmp_path, listener.port, "grpc") as found:
        server = threading.Thread(target=echo_messages, args=(listener, problems))
        server.start()
        with http2.Client(found.port, 60, own=WINDOWS) as client:
            client.send(http2.window_update(http2.LARGEST_WINDOW - 65535))
            stream, sizes = client.stream(), []
            client.send(headers(stream, http2.get("/test.Messages/Chat", "POST", fields=[
                ("content-type", "application/grpc"), ("te", "trailers")]), end=False))
            client.head(stream)
            sender, received = Sender(client, stream), []

            def receive():
                while not client.answers[stream].ended:
                    frame = client.frame()
                    sender.note(frame)
                    if frame.type == http2.DATA:
                        received.append(len(frame.payload))
                        client.answers[stream].body = b""
                    client.seen.clear()
            reader = threading.Thread(target=receive)
            reader.start()
            for number in range(MESSAGES // IN_A_FRAME):
                sender.send(BATCH)
                if number % 50 == 25:
                    sizes.append([resident_bytes(sidecar.pid) for sidecar in found.sidecars])
            client.send(data(stream, end=True))
            reader.join(60)
            answer = client.answers[stream]
        server.join(60)
        assert not problems and answer.ended, (problems, answer)
        assert dict(answer.trailers)["grpc-status"] == "0", answer
        assert sum(received) == MESSAGES * len(BATCH) // IN_A_FRAME
        # The first look is in the middle of the stream already.
        assert all(last - first < 2 << 20 for first, last in zip(sizes[0], sizes[-1])), sizes
        for name in ("istio_request_messages_total", "istio_response_messages_total"):
            for sidecar in found.sidecars:
                raw.eventually(lambda sidecar=sidecar, name=name: sidecar.metric(name) == MESSAGES)


# Compressed messages, which gRPC's Python server cannot tell from others: a server by hand.

class Compressing:
    """Answers the calls of the compression cases as their description says, on one connection."""

    def __init__(self, listener):
        self.listener, self.problems = listener, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            with Server(self.listener.accept(20), 20) as server:
                while True:
                    stream = server.next_request()
                    self.call(server, stream, server.answer(stream, 20))
        except (http2.Closed, TimeoutError, OSError):
            pass

    def call(self, server, stream, call):
        fields = dict(call.fields)
        encoding, answers, status, at = fields.get("grpc-encoding", "identity"), [], "0", 0
        total = 0
        while at < len(call.body):
            compressed, length = call.body[at], int.from_bytes(call.body[at + 1:at + 5], "big")
            message = call.body[at + 5:at + 5 + length]
            at += 5 + length
            if compressed:
                if encoding != "gzip":
                    self.problems.append(f"compressed by {encoding}")
                message = zlib.decompress(message, 31)
            request = decode(message)
            wanted = request.get(8 if fields[":path"].endswith("UnaryCall") else 2)
            if "InputCall" in fields[":path"] or fields[":path"].endswith("UnaryCall"):
                if wanted and first(decode(wanted[0]), 1) != compressed:
                    status = "3"
                total += len(body_of(message, 3 if fields[":path"].endswith("UnaryCall") else 1))
            if fields[":path"].endswith("UnaryCall"):
                answers.append((first(request, 2), first(decode(first(request, 6, b"")), 1)))
            for parameters in request.get(2, []) if "OutputCall" in fields[":path"] else []:
                parameters = decode(parameters)
                answers.append((first(parameters, 1), first(decode(first(parameters, 3, b"")), 1)))
        out = b""
        if "InputCall" in fields[":path"]:
            answers, out = [], bytes(1) + http2.word(len(encode((1, total)))) + encode((1, total))
        for size, compress in answers:
            message = payload(size)
            if compress:
                packer = zlib.compressobj(wbits=31)
                message = packer.compress(message) + packer.flush()
            out += bytes((compress,)) + http2.word(len(message)) + message
        head = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")]
        if status != "0":
            return server.send(headers(stream, [*head, ("grpc-status", status)]))
        server.send(headers(stream, head, end=False))
        # Two frames of any size: messages and frames have nothing to do with each other.
        for piece in (out[:16384], *[out[a:a + 16384] for a in range(16384, len(out), 16384)]):
            server.send(data(stream, piece))
        return server.send(headers(stream, [("grpc-status", "0")]))


@pytest.fixture
def compressing(tmp_path):
    with Listener() as listener, Pair(tmp_path, listener.port, "grpc") as found:
        found.application = Compressing(listener)
        yield found
        assert not found.application.problems


def test_client_compressed_unary(compressing):
    with interop.Stub(compressing.port) as stub:
        # The probe: said to be compressed, and not.
        fails(grpc.StatusCode.INVALID_ARGUMENT,
              lambda: stub.unary("UnaryCall", simple_request(10, bytes(5000), expect_compressed=True)))
        answer, _ = stub.unary("UnaryCall", simple_request(3141, bytes(5000), expect_compressed=True),
                               compression=grpc.Compression.Gzip)
        assert len(body_of(answer)) == 3141
        answer, _ = stub.unary("UnaryCall", simple_request(3141, bytes(5000), expect_compressed=False))
        assert len(body_of(answer)) == 3141


def test_server_compressed_unary(compressing):
    with interop.Stub(compressing.port) as stub:
        for compressed in (True, False):
            answer, _ = stub.unary("UnaryCall", simple_request(31415, bytes(2718), response_compressed=compressed))
            assert body_of(answer) == bytes(31415)


def test_client_compressed_streaming(compressing):
    def message(size, expect):
        return encode((1, encode((2, bytes(size)))), (2, encode((1, int(expect)))))
    with interop.Stub(compressing.port) as stub:
        fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.upload([message(2718, True)]).result(20))
        # `future` would ignore the compression.
        answer = stub.channel.stream_unary(f"/{SERVICE}/StreamingInputCall")(
            iter([message(27182, True), message(4590, True)]), timeout=20, compression=grpc.Compression.Gzip)
        assert first(decode(answer), 1) == 27182 + 4590


def test_server_compressed_streaming(compressing):
    def parameters(size, compressed):
        return (2, encode((1, size), (3, encode((1, int(compressed))))))
    with interop.Stub(compressing.port) as stub:
        sizes = [len(body_of(m)) for m in stub.download(encode(parameters(3141, True), parameters(592, False)))]
        assert sizes == [3141, 592]


def test_cacheable_unary(silent):
    """A call by GET, which a cache behind the pair answers the second time: verb, target and fields are what they were."""
    target = f"/{SERVICE}/CacheableUnaryCall?payload=MTIzNDU2Nzg5"
    fields = [("content-type", "application/grpc"), ("te", "trailers"), ("x-user-ip", "1.2.3.4")]
    message, store = payload(10), {}
    with http2.Client(silent.port) as client:
        first_call = client.request(target, "GET", fields)
        with Server(silent.listener.accept()) as cache:
            for call in (first_call, None):
                call = call or client.request(target, "GET", fields)
                asked = dict(cache.answers[cache.next_request()].fields)
                stream = max(cache.answers)
                assert (asked[":method"], asked[":path"], asked["x-user-ip"]) == ("GET", target, "1.2.3.4"), asked
                body = store.setdefault((asked[":path"], asked["x-user-ip"]), message + bytes([len(store)]))
                cache.send(headers(stream, [(":status", "200"), ("content-type", "application/grpc"),
                                            ("cache-control", "max-age=60")], end=False),
                           data(stream, bytes(1) + http2.word(len(body)) + body), headers(stream, [("grpc-status", "0")]))
                answer = client.answer(call)
                assert answer.body[5:] == message + bytes([0]) and answer.header("cache-control") == "max-age=60", answer
                assert dict(answer.trailers)["grpc-status"] == "0"


@pytest.mark.parametrize("client", [1, 2], ids=["from HTTP/1.1", "from HTTP/2"])
def test_grpc_web_passes_as_it_is(silent, client):
    """Its trailers are a part of the body, and the mesh answers it like other requests of HTTP: nothing is translated."""
    call, framed = b"\0\0\0\0\x03abc", b"\0\0\0\0\x02ok" + b"\x80\0\0\0\x0fgrpc-status:0\r\n"
    kind = ("content-type", "application/grpc-web+proto")
    path = f"/{SERVICE}/UnaryCall"

    def ask(connection):
        if client == 2:
            stream = connection.request(path, "POST", [kind], end=False)
            connection.send(data(stream, call, end=True))
            return lambda: connection.answer(stream)
        connection.request("POST", path, [kind], call)
        return connection.response
    make = http2.Client if client == 2 else raw.Connection
    with make(silent.port) as connection:
        answer = ask(connection)
        with Server(silent.listener.accept()) as server:
            called = server.next_request()
            asked = server.answer(called)
            assert (dict(asked.fields)["content-type"], asked.body) == (kind[1], call), asked
            server.send(headers(called, [(":status", "200"), kind], end=False), data(called, framed, end=True))
            answer = answer()
        assert (answer.status, answer.header("content-type"), answer.body) == (200, kind[1], framed), answer
        assert not answer.trailers
        # It counts as HTTP.
        raw.eventually(lambda: silent.client.metric("istio_requests_total", request_protocol="http") == 1)
    silent.listener.socket.close()
    with make(silent.port) as connection:
        answer = ask(connection)()
        assert answer.status == 503 and answer.reason and answer.header("grpc-status") is None, answer


# What the mesh says itself.

def test_a_missing_application_is_unavailable(tmp_path):
    with Pair(tmp_path, free_port(), "grpc") as pair, interop.Stub(pair.port) as stub:
        error = fails(grpc.StatusCode.UNAVAILABLE, lambda: stub.unary("EmptyCall"))
        fields = dict(error.trailing_metadata()) | dict(error.initial_metadata())
        assert fields.get("x-apus-reason"), fields


def test_errors_of_the_mesh_are_trailers_only(tmp_path):
    with Pair(tmp_path, free_port(), "grpc") as pair, http2.Client(pair.port) as client:
        answer = client.fetch(f"/{SERVICE}/EmptyCall", method="POST",
                              fields=[("content-type", "application/grpc+proto"), ("te", "trailers")])
        assert answer.status == 200 and answer.header("content-type") == "application/grpc", answer
        assert answer.header("grpc-status") == "14" and answer.header("grpc-message"), answer
        assert not answer.body and not answer.trailers and answer.ended, answer


@pytest.fixture
def silent(tmp_path):
    """A server by hand that takes a call and says nothing unless the test does."""
    with Listener() as listener, Pair(tmp_path, listener.port, "grpc") as found:
        found.listener = listener
        yield found


def call_raw(client, *fields):
    return client.request(f"/{SERVICE}/EmptyCall", "POST", [("content-type", "application/grpc"), ("te", "trailers"),
                                                            *fields])


def test_the_deadline_of_a_call_ends_it_everywhere(silent):
    with http2.Client(silent.port) as client:
        begin = time.monotonic()
        stream = call_raw(client, ("grpc-timeout", "700m"))
        with Server(silent.listener.accept()) as server:
            called = server.next_request()
            value = dict(server.answers[called].fields)["grpc-timeout"]
            assert duration(value) <= 0.7001, value
            answer = client.answer(stream)
            assert answer.header("grpc-status") == "4", answer
            assert 0.5 <= time.monotonic() - begin < 4
            assert server.answer(called).reset is None or server.answers[called].reset == http2.CANCEL
            server.until(lambda f: f.type == http2.RST_STREAM) if server.answers[called].reset is None else None


def duration(value):
    return int(value[:-1]) * {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}[value[-1]]


@pytest.mark.parametrize("value", ["", "5", "m", "-5S", "5.5S", "999999999S", "5x", "5 S", "0x5S", "S5"])
def test_malformed_deadlines_are_ignored(silent, value):
    with http2.Client(silent.port) as client:
        stream = call_raw(client, ("grpc-timeout", value))
        with Server(silent.listener.accept()) as server:
            called = server.next_request()
            server.send(headers(called, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]))
            answer = client.answer(stream)
            assert (answer.status, answer.header("grpc-status")) == (200, "0"), answer


def test_cancellation_reaches_the_server(silent):
    with http2.Client(silent.port) as client:
        stream = client.request(f"/{SERVICE}/StreamingInputCall", "POST", [("content-type", "application/grpc")], end=False)
        with Server(silent.listener.accept()) as server:
            called = server.next_request()
            client.send(data(stream, bytes(10)), http2.reset(stream))
            found = server.until(lambda f: f.type == http2.RST_STREAM)
            assert (found.stream, found.number()) == (called, http2.CANCEL), found


@pytest.mark.parametrize("prefix", [b"\0\xff\xff\xff\xff", b"\1\xff\xff\xff\xff", b"\7\0\0\0\1x"],
                         ids=["length 2^32 - 1", "compressed, length 2^32 - 1", "unknown flag"])
def test_message_lengths_that_cannot_be_take_no_memory(silent, prefix):
    """The proxies pass the bytes or end the call with RESOURCE_EXHAUSTED; they wait for no 4 GiB."""
    before = [resident_bytes(sidecar.pid) for sidecar in silent.sidecars]
    with http2.Client(silent.port) as client:
        stream = client.request(f"/{SERVICE}/UnaryCall", "POST", [("content-type", "application/grpc")], end=False)
        client.send(data(stream, prefix + bytes(1000)))
        with Server(silent.listener.accept()) as server:
            called = server.next_request()
            client.send(data(stream, end=True))
            server.answer(called)
            server.send(headers(called, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "8")]))
        assert client.answer(stream).header("grpc-status") in ("8", "13")
    after = [resident_bytes(sidecar.pid) for sidecar in silent.sidecars]
    assert all(b - a < 4 << 20 for a, b in zip(before, after)), (before, after)
