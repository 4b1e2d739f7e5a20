"""Servers that break HTTP/2 behind a sidecar, frame by frame: what the server is told, what the client gets, and that the
next request is served."""

import socket

import pytest

from support import http2, raw
from support.http2 import (ACK, COMPRESSION_ERROR, DATA, END_HEADERS, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
                           GOAWAY, HEADERS, LARGEST_WINDOW, NO_ERROR, PADDED, PING, PROTOCOL_ERROR, REFUSED_STREAM,
                           RST_STREAM, SETTINGS, Listener, Server, continuation, data, frame, goaway, headers, ping, priority,
                           reset, settings, window_update)
from support.sidecars import Hop

OK = [(":status", "200")]


class Upstream:
    """A sidecar's port that speaks HTTP/1.1 to the test, and a server by hand behind it."""

    def __init__(self, folder):
        self.listener = Listener()
        self.hop = Hop(folder, self.listener.port, "http2")
        self.client = None

    def begin(self, method="POST", greet=True, own=(), body=b"", fields=()):
        """A client sends a request; returns the server's end with the request's stream. A POST is not tried again when it
        may have been processed."""
        self.client = raw.Connection(self.hop.port)
        self.client.request(method, "/", fields, body=body)
        server = Server(self.listener.accept(), greet=greet, own=own)
        return server, server.next_request()

    def served(self):
        """A later request is answered, on whatever connection."""
        self.listener.socket.setblocking(True)
        with raw.Connection(self.hop.port) as client:
            client.request("GET", "/")
            with Server(self.listener.accept()) as server:
                server.respond(server.next_request(), body=b"fine")
                assert client.response().body == b"fine"

    def failed(self):
        """The client has got an answer of the mesh, or its connection has broken off in the middle of one."""
        try:
            answer = self.client.response()
        except EOFError:
            return None
        assert answer.status in (502, 503, 504) and answer.header("server") == "apus" and answer.reason, answer
        return answer


@pytest.fixture
def upstream(tmp_path):
    found = Upstream(tmp_path)
    yield found
    if found.client:
        found.client.socket.close()
    found.hop.stop()
    found.listener.socket.close()


def refusing(upstream):
    """From now on the server takes no new connections, so that what is tried again fails at once."""
    port = upstream.listener.port
    upstream.listener.socket.close()
    return port


def reopened(upstream, port):
    upstream.listener.socket = socket.create_server(("127.0.0.1", port))


# What ends the connection: what the server sends (with S for the request's stream), and what it is told.
def fatal(s):
    return {
        "oversized DATA": ([headers(s, OK, end=False), data(s, bytes(16385))], FRAME_SIZE_ERROR),
        "oversized HEADERS": ([headers(s, bytes(16385))], FRAME_SIZE_ERROR),
        "undecodable head": ([headers(s, b"\x40")], COMPRESSION_ERROR),
        "index 0": ([headers(s, b"\x80")], COMPRESSION_ERROR),
        "table size over the setting": ([headers(s, http2.integer(4097, 5, 0x20) + http2.block(OK))], COMPRESSION_ERROR),
        "HEADERS on a stream of its own": ([headers(2, OK)], PROTOCOL_ERROR),
        "HEADERS on an idle stream": ([headers(s + 2, OK)], PROTOCOL_ERROR),
        "DATA on an idle stream": ([data(s + 2, b"x")], PROTOCOL_ERROR),
        "RST_STREAM on an idle stream": ([reset(s + 2)], PROTOCOL_ERROR),
        "WINDOW_UPDATE on an idle stream": ([window_update(1, s + 2)], PROTOCOL_ERROR),
        "CONTINUATION from nowhere": ([continuation(s, http2.block(OK))], PROTOCOL_ERROR),
        "CONTINUATION behind a whole head": (
            [headers(s, OK, end=False), continuation(s, http2.block(OK))], PROTOCOL_ERROR),
        "CONTINUATION on stream 0": ([headers(s, OK, flags=0), continuation(0)], PROTOCOL_ERROR),
        "PRIORITY within a head": ([headers(s, OK, flags=0), priority(s), continuation(s)], PROTOCOL_ERROR),
        "DATA within a head": ([headers(s, OK, flags=0), data(s, b"x")], PROTOCOL_ERROR),
        "DATA on stream 0": ([data(0, b"x")], PROTOCOL_ERROR),
        "HEADERS on stream 0": ([headers(0, OK)], PROTOCOL_ERROR),
        "too much padding in DATA": ([headers(s, OK, end=False), frame(DATA, PADDED, s, b"\x06hello")], PROTOCOL_ERROR),
        "too much padding in HEADERS": ([frame(HEADERS, PADDED | END_HEADERS, s, b"\x02\x88")], PROTOCOL_ERROR),
        "PRIORITY on stream 0": ([priority(0)], PROTOCOL_ERROR),
        "RST_STREAM on stream 0": ([reset(0)], PROTOCOL_ERROR),
        "RST_STREAM of three octets": ([frame(RST_STREAM, 0, s, b"\0\0\0")], FRAME_SIZE_ERROR),
        "acknowledgement with payload": ([frame(SETTINGS, ACK, 0, b"\0" * 6)], FRAME_SIZE_ERROR),
        "SETTINGS on a stream": ([settings(stream=s)], PROTOCOL_ERROR),
        "SETTINGS of three octets": ([frame(SETTINGS, 0, 0, b"\0\0\0")], FRAME_SIZE_ERROR),
        "ENABLE_PUSH from a server": ([settings((http2.ENABLE_PUSH, 1))], PROTOCOL_ERROR),
        "INITIAL_WINDOW_SIZE over 2^31 - 1": ([settings((http2.INITIAL_WINDOW_SIZE, 2**31))], FLOW_CONTROL_ERROR),
        "MAX_FRAME_SIZE too small": ([settings((http2.MAX_FRAME_SIZE, 16383))], PROTOCOL_ERROR),
        "MAX_FRAME_SIZE too large": ([settings((http2.MAX_FRAME_SIZE, 2**24))], PROTOCOL_ERROR),
        "PING on a stream": ([ping(stream=s)], PROTOCOL_ERROR),
        "PING of six octets": ([ping(b"\0" * 6)], FRAME_SIZE_ERROR),
        "GOAWAY on a stream": ([goaway(stream=s)], PROTOCOL_ERROR),
        "WINDOW_UPDATE of 0": ([window_update(0)], PROTOCOL_ERROR),
        "WINDOW_UPDATE of three octets": ([frame(8, 0, s, b"\0\0\1")], FRAME_SIZE_ERROR),
        "windows over 2^31 - 1": ([window_update(LARGEST_WINDOW)] * 2, FLOW_CONTROL_ERROR),
        "a promise": ([frame(5, END_HEADERS, s, http2.word(2) + http2.block(http2.get()))], PROTOCOL_ERROR),
    }


@pytest.mark.parametrize("name", list(fatal(1)))
def test_errors_of_the_connection(upstream, name):
    server, stream = upstream.begin()
    frames, code = fatal(stream)[name]
    port = refusing(upstream)
    server.send(*frames)
    assert server.goaway_code() == code, server.seen
    upstream.failed()
    reopened(upstream, port)
    upstream.served()


@pytest.mark.parametrize("beginning", [headers(1, OK), settings(flags=ACK), b"HTTP/1.1 400 Bad Request\r\n\r\n",
                                       b"\x15\x03\x01\x00\x02\x02\x16", b"220 mail.example ESMTP\r\n"])
def test_a_server_that_does_not_begin_with_settings(upstream, beginning):
    upstream.client = raw.Connection(upstream.hop.port)
    upstream.client.request("POST", "/")
    server = Server(upstream.listener.accept(), greet=False)
    port = refusing(upstream)
    server.send(beginning + bytes(64) * (not beginning.startswith(b"\0")))
    assert server.goaway_code() in (PROTOCOL_ERROR, FRAME_SIZE_ERROR, None)
    assert upstream.failed()
    reopened(upstream, port)
    upstream.served()


# What is wrong with one answer only.
MALFORMED = {
    "no status": [("x-a", "1")],
    "two status": [(":status", "200"), (":status", "200")],
    "status of two digits": [(":status", "20")],
    "status that is no number": [(":status", "abc")],
    "status 101": [(":status", "101")],
    "pseudo-header field of requests": [(":status", "200"), (":path", "/")],
    "unknown pseudo-header field": [(":status", "200"), (":what", "1")],
    "status behind another field": [("x-a", "1"), (":status", "200")],
    "name in capitals": [(":status", "200"), ("X-A", "1")],
    "empty name": [(":status", "200"), ("", "1")],
    "line end in a value": [(":status", "200"), ("x-a", "1\r\nx-smuggled: 1")],
    "NUL in a value": [(":status", "200"), ("x-a", "1\0")],
    "space in a name": [(":status", "200"), ("x a", "1")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "content-length that is no number": [(":status", "200"), ("content-length", "5x")],
    "two content-lengths": [(":status", "200"), ("content-length", "5"), ("content-length", "6")],
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_malformed_answers(upstream, name):
    server, stream = upstream.begin()
    server.send(headers(stream, MALFORMED[name], end=False))
    found = server.until(lambda f: f.type == RST_STREAM)
    assert (found.stream, found.number()) == (stream, PROTOCOL_ERROR), found
    answer = upstream.failed()
    assert answer and answer.status == 502, answer
    # The connection goes on.
    with raw.Connection(upstream.hop.port) as client:
        client.request("GET", "/")
        server.respond(server.next_request(), body=b"fine")
        assert client.response().body == b"fine"


@pytest.mark.parametrize("frames", [
    lambda s: [headers(s, [*OK, ("content-length", "3")], end=False), data(s, b"abcdef", end=True)],
    lambda s: [headers(s, [*OK, ("content-length", "9")], end=False), data(s, b"abc", end=True)],
    lambda s: [headers(s, [*OK, ("content-length", "9")], end=False), data(s, b"abc"), headers(s, [("x-sum", "3")])],
    lambda s: [headers(s, OK, end=False), data(s, b"abc"), headers(s, [("x-more", "1")], end=False)],
    lambda s: [headers(s, OK, end=False), data(s, b"abc"), headers(s, [(":status", "200")])],
    lambda s: [headers(s, OK, end=False), data(s, b"abc"), reset(s, http2.INTERNAL_ERROR)],
    lambda s: [headers(s, OK, end=False), data(s, b"abc"), reset(s, NO_ERROR)]],
    ids=["longer than announced", "shorter than announced", "shorter, with trailers", "a second head", "a pseudo trailer",
         "reset", "reset without an error"])
def test_answers_that_break_off_are_never_cut_short_in_silence(upstream, frames):
    server, stream = upstream.begin()
    server.send(*frames(stream))
    try:
        answer = upstream.client.response()
        assert answer.status == 502 and answer.reason, answer
    except EOFError:
        pass
    assert upstream.client.is_closed()


@pytest.mark.parametrize("frames", [
    lambda s: [frame(0xBB, 0xFF, 0, b"x" * 100), headers(s, OK, end=False), frame(0xBB, 0, s), data(s, b"fine", end=True)],
    lambda s: [headers(s, OK, end=False, pad=10), data(s, b"fi", pad=200), data(s, b"ne", pad=3, end=True)],
    lambda s: [headers(s, http2.block(OK)[:3], end=False, flags=0), continuation(s, end=False),
               continuation(s, http2.block(OK)[3:]), data(s, b"fine", end=True)],
    lambda s: [settings((0xAA, 5)), priority(s), window_update(10, s), headers(s, OK, end=False, depends=0),
               data(s), data(s, b"fine"), data(s, end=True)],
    lambda s: [headers(s, [(":status", "103"), ("link", "</a>")], end=False), headers(s, OK, end=False),
               data(s, b"fine", end=True)],
    lambda s: [goaway(s), headers(s, OK, end=False), data(s, b"fine", end=True)],
    lambda s: [headers(s, [*OK, ("content-length", "4")], end=False), data(s, b"fine", end=True), reset(s, NO_ERROR)],
    lambda s: [bytes((b,)) for b in headers(s, OK, end=False) + data(s, b"fine", end=True)]],
    ids=["unknown frames", "padding", "pieces of a head", "harmless frames", "interim heads", "GOAWAY for later streams",
         "RST_STREAM behind the end", "byte by byte"])
def test_unusual_but_right(upstream, frames):
    server, stream = upstream.begin()
    for piece in frames(stream):
        server.send(piece)
    answer = upstream.client.response()
    assert (answer.status, answer.body) == (200, b"fine"), answer


def test_preface_and_settings_of_the_sidecar(upstream):
    server, _ = upstream.begin()
    assert server.seen[0].type == SETTINGS and not server.seen[0].flags & ACK
    assert server.settings[http2.ENABLE_PUSH] == 0 and server.settings.get(http2.MAX_FRAME_SIZE, 16384) == 16384


def test_pings_are_answered_and_answers_are_not(upstream):
    server, stream = upstream.begin()
    server.send(ping(b"stranger", flags=ACK))
    server.barrier()
    assert not any(f.type == PING and f.payload == b"stranger" for f in server.seen)
    server.respond(stream, body=b"fine")
    assert upstream.client.response().body == b"fine"


def test_frames_on_a_stream_that_is_over_are_harmless_or_an_error(upstream):
    server, stream = upstream.begin()
    server.respond(stream, body=b"fine")
    assert upstream.client.response().body == b"fine"
    server.send(window_update(1, stream), priority(stream), reset(stream))
    server.barrier()
    server.send(data(stream, b"late"))
    found = server.until(lambda f: f.type in (RST_STREAM, GOAWAY))
    assert found.number(4 if found.type == GOAWAY else 0) == http2.STREAM_CLOSED, found


def test_a_refused_stream_is_asked_for_once_more(upstream):
    server, stream = upstream.begin()
    server.send(reset(stream, REFUSED_STREAM))
    server.respond(server.next_request(), body=b"fine")
    assert upstream.client.response().body == b"fine"


def test_a_goaway_that_leaves_the_request_out_sends_it_to_a_new_connection(upstream):
    server, stream = upstream.begin()
    server.send(goaway(stream - 2 if stream > 1 else 0))
    with Server(upstream.listener.accept()) as second:
        second.respond(second.next_request(), body=b"fine")
        assert upstream.client.response().body == b"fine"


def test_requests_over_the_servers_limit_of_streams_wait_or_go_elsewhere(upstream):
    server, stream = upstream.begin(own=[(http2.MAX_CONCURRENT_STREAMS, 1)])
    server.barrier()
    with raw.Connection(upstream.hop.port) as second:
        second.request("GET", "/second")
        server.respond(stream, body=b"first")
        assert upstream.client.response().body == b"first"
        upstream.listener.socket.settimeout(0.3)
        try:
            other = Server(upstream.listener.socket.accept()[0])
        except TimeoutError:
            other = server
        other.respond(other.next_request(), body=b"second")
        assert second.response().body == b"second"


def test_a_body_goes_through_windows_of_one_octet(upstream):
    body = bytes(range(200))
    server, stream = upstream.begin("POST", own=[(http2.INITIAL_WINDOW_SIZE, 1)], body=body)
    while not server.answers[stream].ended:
        if server.frame().type == DATA and not server.answers[stream].ended:
            server.send(window_update(1, stream))
    received = server.answers[stream].body
    assert received[-100:] == body[-100:] and received == body
    server.respond(stream, body=b"fine")
    assert upstream.client.response().body == b"fine"


def test_the_servers_table_size_of_0_is_kept_to(upstream):
    server, stream = upstream.begin(own=[(http2.HEADER_TABLE_SIZE, 0)])
    server.barrier()
    server.decoder.max_allowed_table_size = 0
    server.respond(stream, body=b"fine")
    assert upstream.client.response().body == b"fine"
    for _ in range(3):
        upstream.client.request("GET", "/", [("user-agent", "again")])
        server.respond(server.next_request(), body=b"fine")
        assert upstream.client.response().body == b"fine"
    assert server.decoder.header_table_size == 0


def test_an_answer_before_the_request_is_whole(upstream):
    upstream.client = raw.Connection(upstream.hop.port)
    upstream.client.send(b"POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
    server = Server(upstream.listener.accept())
    stream = server.next_request()
    server.send(headers(stream, [(":status", "413"), ("content-length", "0")]), reset(stream, NO_ERROR))
    assert upstream.client.response().status == 413


@pytest.mark.parametrize("fields", [
    [("x-large", "v" * 65000)], [(f"x-{number}", "1") for number in range(300)]], ids=["octets", "fields"])
def test_heads_over_the_limit(upstream, fields):
    server, stream = upstream.begin()
    block = http2.block([*OK, *fields])
    server.send(headers(stream, block[:16000], flags=0),
                *[continuation(stream, block[at:at + 16000], end=at + 16000 >= len(block))
                  for at in range(16000, max(len(block), 16001), 16000)])
    answer = upstream.failed()
    assert answer and answer.status == 502, answer


@pytest.mark.parametrize("flood", [
    lambda s: headers(s, OK, flags=0) + continuation(s, b"", end=False) * 2000,
    lambda s: settings() * 20000, lambda s: ping() * 20000, lambda s: priority(s) * 20000,
    lambda s: window_update(1) * 20000, lambda s: frame(0xBB) * 20000,
    lambda s: headers(s, OK, end=False) + data(s) * 2000,
    lambda s: headers(s, [(":status", "103")], end=False) * 20000],
    ids=["CONTINUATION", "SETTINGS", "PING", "PRIORITY", "WINDOW_UPDATE", "unknown frames", "empty DATA", "interim heads"])
def test_floods_from_the_server_end_the_connection(upstream, flood):
    server, stream = upstream.begin()
    port = refusing(upstream)
    server.send(flood(stream))
    assert server.goaway_code() in (http2.ENHANCE_YOUR_CALM, PROTOCOL_ERROR)
    upstream.failed()
    reopened(upstream, port)
    upstream.served()


def test_the_end_of_the_connection_is_not_the_end_of_an_answer(upstream):
    server, stream = upstream.begin()
    server.send(headers(stream, OK, end=False), data(stream, b"half"))
    server.barrier()
    server.socket.close()
    with pytest.raises(EOFError):
        upstream.client.response()
