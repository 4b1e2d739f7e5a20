"""RFC 9113, section 8: HTTP in frames; RFC 8441: extended CONNECT."""

import json

from support import http2
from support.http2 import PROTOCOL_ERROR, data, frame, get, headers

from . import rule


def fields_of(answer):
    return json.loads(answer.body)["fields"]


def malformed(c, fields, end=True):
    """The request is refused on its stream, and the connection goes on."""
    stream = c.stream()
    c.send(headers(stream, fields, end))
    c.stream_error(stream, PROTOCOL_ERROR)


# 8.1: messages.

@rule("8.1", "GET, HEAD and POST")
def exchanges(c):
    assert c.served().body
    answer = c.served(c.request("/bytes/10", "GET"))
    assert answer.header("content-length") == "10" and len(answer.body) == 10
    head = c.served(c.request("/", "HEAD"))
    assert head.body == b"" and head.header("content-length") not in (None, "0")
    stream = c.request("/hash", "POST", end=False)
    c.send(data(stream, b"hello", end=True))
    c.served(stream)


@rule("8.1", "trailers come and go")
def trailers(c):
    stream = c.request("/trailers", "POST", end=False, fields=[("trailer", "x-up")])
    c.send(data(stream, b"hello"), headers(stream, [("x-up", "1")]))
    answer = c.served(stream)
    assert answer.body == b"hello world" and answer.trailers == [("x-sum", "11")], answer
    assert answer.header("x-received-trailers") == "x-up: 1", answer


@rule("8.1", "a second head without END_STREAM")
def second_head(c):
    stream = c.request(method="POST", end=False)
    c.send(headers(stream, [("x-more", "1")], end=False))
    c.stream_error(stream, PROTOCOL_ERROR)


@rule("8.1", "answers of 204 and 304 have no body")
def bodiless(c):
    for status in (204, 304):
        assert c.served(c.request(f"/status/{status}"), status).body == b""


@rule("8.1", "100 Continue comes before the answer")
def interim(c):
    stream = c.request("/expect", "POST", end=False, fields=[("expect", "100-continue"), ("content-length", "5")])
    while not (found := c.answers.get(stream)) or not found.interim:
        c.frame()
    c.send(data(stream, b"hello", end=True))
    assert c.served(stream).interim == [100]


# 8.1.1: malformed messages.

@rule("8.1.1", "content-length and one DATA frame differ")
def wrong_length(c):
    stream = c.request(method="POST", end=False, fields=[("content-length", "1")])
    c.send(data(stream, b"test", end=True))
    c.stream_error(stream, PROTOCOL_ERROR)


@rule("8.1.1", "content-length and the sum of DATA frames differ")
def wrong_sum(c):
    stream = c.request(method="POST", end=False, fields=[("content-length", "7")])
    c.send(data(stream, b"test"), data(stream, b"test", end=True))
    c.stream_error(stream, PROTOCOL_ERROR)


@rule("8.1.1", "content-length and too few octets")
def short_body(c):
    for last in (data, headers):
        stream = c.request(method="POST", end=False, fields=[("content-length", "9")])
        c.send(data(stream, b"test"), data(stream, end=True) if last is data else headers(stream, [("x-sum", "4")]))
        c.stream_error(stream, PROTOCOL_ERROR)


@rule("8.1.1", "content-length and no body at all")
def no_body(c):
    malformed(c, get(method="POST", fields=[("content-length", "5")]))


BAD_LENGTHS = ("", "-1", "+5", "5,6", "0x5", "5 5", "9" * 30)


@rule("8.1.1", "content-lengths that are no number")
def bad_lengths(c):
    for value in BAD_LENGTHS:
        malformed(c, get(method="POST", fields=[("content-length", value)]), end=False)
    malformed(c, get(method="POST", fields=[("content-length", "5"), ("content-length", "6")]), end=False)


# 8.2: fields.

@rule("8.2", "names in capitals")
def capitals(c):
    malformed(c, get(fields=[("X-Capital", "1")]))
    malformed(c, [(":Method", "GET"), *get()[1:]])


@rule("8.2.1", "names that are no tokens")
def bad_names(c):
    for name in ("", "a b", "a\rb", "a\nb", "a\0b", "a:b", "a\x7f", "caf\xe9", "a\tb"):
        malformed(c, get(fields=[(name, "1")]))


@rule("8.2.1", "values with line ends or NUL")
def bad_values(c):
    for value in ("a\rb", "a\nb", "a\r\nx-smuggled: 1", "a\0b", "\0", "\r"):
        malformed(c, get(fields=[("x-value", value)]))


@rule("8.2.1", "values with space around them")
def spaced_values(c):
    for value in (" a", "a ", "\ta", "a\t"):
        malformed(c, get(fields=[("x-value", value)]))


@rule("8.2.1", "pseudo-header fields with line ends, spaces or NUL")
def bad_pseudo_values(c):
    for position, value in ((0, "GE T"), (0, "GET\r\n"), (2, "/a\r\nHost: other"), (2, "/a b"), (2, "/a\0"),
                            (3, "a b"), (3, "a\r\nx: y"), (1, "ht\ntp")):
        fields = get()
        fields[position] = (fields[position][0], value)
        malformed(c, fields)


@rule("8.2.2", "fields of one HTTP/1 connection")
def connection_fields(c):
    for name, value in (("connection", "keep-alive"), ("proxy-connection", "keep-alive"), ("keep-alive", "300"),
                        ("transfer-encoding", "chunked"), ("upgrade", "websocket")):
        malformed(c, get(fields=[(name, value)]))


@rule("8.2.2", "te says trailers or nothing")
def te(c):
    c.served(c.request(fields=[("te", "trailers")]))
    for value in ("trailers, deflate", "gzip", "chunked"):
        malformed(c, get(fields=[("te", value)]))


@rule("8.2.3", "cookies in crumbs arrive as one")
def cookies(c):
    answer = c.served(c.request("/headers", fields=[("cookie", "a=b"), ("x-between", "1"), ("cookie", "c=d"),
                                                    ("cookie", "e=f")]))
    assert [value for name, value in fields_of(answer) if name.lower() == "cookie"] == ["a=b; c=d; e=f"]


# 8.3: pseudo-header fields.

@rule("8.3", "an unknown one")
def unknown_pseudo(c):
    malformed(c, [*get(), (":test", "ok")])


@rule("8.3", "one of responses")
def response_pseudo(c):
    malformed(c, [*get(), (":status", "200")])


@rule("8.3", "one in trailers")
def pseudo_trailers(c):
    for name, value in ((":method", "GET"), (":status", "200"), (":path", "/")):
        stream = c.request(method="POST", end=False)
        c.send(headers(stream, [(name, value)]))
        c.stream_error(stream, PROTOCOL_ERROR)


@rule("8.3", "one behind another field")
def late_pseudo(c):
    for position in range(4):
        fields = get()
        late = fields.pop(position)
        malformed(c, [*fields, ("x-test", "ok"), late])


@rule("8.3.1", "an empty path, and one that does not begin with a slash")
def bad_paths(c):
    for path in ("", "index.html", "*", "http://server/"):
        malformed(c, get(path))


@rule("8.3.1", "OPTIONS * is a request for the server as a whole")
def options(c):
    answer = c.answer(c.request("*", "OPTIONS"))
    assert answer.reset is None and answer.status, answer


@rule("8.3.1", "method, scheme or path left out")
def left_out(c):
    for position in range(3):
        fields = get()
        del fields[position]
        malformed(c, fields)


@rule("8.3.1", "method, scheme, path or authority twice")
def doubled(c):
    for position in range(4):
        fields = get()
        malformed(c, [fields[position], *fields])


@rule("8.3.1", "host stands for a missing authority")
def host(c):
    answer = c.served(c.request("/headers", authority="server"))
    stream = c.stream()
    c.send(headers(stream, [*get("/headers")[:3], ("host", "server")]))
    assert [f for f in fields_of(c.served(stream)) if f[0].lower() == "host"] \
        == [f for f in fields_of(answer) if f[0].lower() == "host"]


@rule("8.3.1", "authority and host that differ never both reach the application")
def two_hosts(c):
    stream = c.stream()
    c.send(headers(stream, get("/headers", fields=[("host", "elsewhere")])))
    answer = c.answer(stream)
    if answer.reset is None and answer.status == 200:
        assert [v for n, v in fields_of(answer) if n.lower() == "host"] == ["server"], answer


@rule("8.3.1", "an authority with more than host and port")
def bad_authorities(c):
    for authority in ("user@server", "server/path", "server?x", "server#x", "ser ver", ""):
        stream = c.stream()
        c.send(headers(stream, get(authority=authority)))
        answer = c.answer(stream)
        assert answer.reset == PROTOCOL_ERROR or answer.status in (400, 404), (authority, answer)


# 8.4 to 8.6: push, CONNECT, upgrades.

@rule("8.4", "PUSH_PROMISE from a client")
def push(c):
    c.send(frame(http2.PUSH_PROMISE, http2.END_HEADERS, 1, http2.word(2) + http2.block(get())))
    c.connection_error(PROTOCOL_ERROR)


@rule("8.5", "CONNECT with a scheme or a path, or without an authority")
def bad_connect(c):
    for fields in ([(":method", "CONNECT"), (":scheme", "http"), (":authority", "server:80")],
                   [(":method", "CONNECT"), (":path", "/"), (":authority", "server:80")], [(":method", "CONNECT")]):
        malformed(c, fields, end=False)


# RFC 8441.

@rule("8441-4", "a protocol without CONNECT")
def protocol_without_connect(c):
    malformed(c, [*get(), (":protocol", "websocket")])


@rule("8441-4", "extended CONNECT without scheme or path")
def extended_without_path(c):
    for left_out in (":scheme", ":path"):
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/upgrade"),
                  (":authority", "server")]
        malformed(c, [field for field in fields if field[0] != left_out], end=False)
