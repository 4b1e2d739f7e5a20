"""HTTP/2 by hand: single frames over a socket, as client or as server, right or wrong as a test wants them."""

import socket
import time
from collections import namedtuple

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
TYPES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
         "CONTINUATION")
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
LARGEST_WINDOW = 2**31 - 1


class Frame(namedtuple("Frame", "type flags stream payload")):
    def __repr__(self):
        name = TYPES[self.type] if self.type < len(TYPES) else f"type {self.type}"
        return f"<{name} flags {self.flags:#x} stream {self.stream} {len(self.payload)} B {self.payload[:40]!r}>"

    def number(self, at=0):
        return int.from_bytes(self.payload[at:at + 4], "big")


def word(value):
    return value.to_bytes(4, "big")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame's bytes; `length` says something other than the truth in its header."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + word(stream) + payload


def settings(*pairs, flags=0, stream=0):
    return frame(SETTINGS, flags, stream, b"".join(n.to_bytes(2, "big") + word(v) for n, v in pairs))


def ping(opaque=b"are-you?", flags=0, stream=0):
    return frame(PING, flags, stream, opaque)


def window_update(increment, stream=0):
    return frame(WINDOW_UPDATE, 0, stream, word(increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, word(code))


def goaway(last=0, code=NO_ERROR, stream=0, debug=b""):
    return frame(GOAWAY, 0, stream, word(last) + word(code) + debug)


def priority(stream, depends=0, weight=15, exclusive=False):
    return frame(PRIORITY, 0, stream, word(depends | (1 << 31 if exclusive else 0)) + bytes((weight,)))


def data(stream, payload=b"", end=False, pad=None):
    flags = END_STREAM if end else 0
    if pad is not None:
        flags, payload = flags | PADDED, bytes((pad,)) + payload + bytes(pad)
    return frame(DATA, flags, stream, payload)


def literal(name, value, first=0x00):
    """A field as HPACK literal with a new name, neither indexed nor in Huffman code, whatever it contains."""
    def text(content):
        content = content if isinstance(content, bytes) else content.encode("latin-1")
        return integer(len(content), 7) + content
    return bytes((first,)) + text(name) + text(value)


def integer(value, bits, first=0):
    """An HPACK integer with a prefix of `bits` bits."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes((*out, value))


def block(fields):
    """A header block of plain literals."""
    return b"".join(literal(name, value) for name, value in fields)


def get(path="/", method="GET", authority="server", scheme="http", fields=()):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *fields]


def headers(stream, fields, end=True, flags=END_HEADERS, pad=None, depends=None, weight=15):
    """HEADERS with a block of plain literals, or with raw bytes for a block."""
    payload = fields if isinstance(fields, bytes) else block(fields)
    flags |= END_STREAM if end else 0
    if depends is not None:
        flags, payload = flags | HAS_PRIORITY, word(depends) + bytes((weight,)) + payload
    if pad is not None:
        flags, payload = flags | PADDED, bytes((pad,)) + payload + bytes(pad)
    return frame(HEADERS, flags, stream, payload)


def continuation(stream, payload=b"", end=True):
    return frame(CONTINUATION, END_HEADERS if end else 0, stream, payload)


class Closed(Exception):
    """The other side has ended the connection."""


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interim = None, [], b"", [], []
        self.ended, self.reset = False, None

    def header(self, name):
        found = [value for key, value in self.fields if key == name]
        return ", ".join(found) if found else None

    @property
    def reason(self):
        return self.header("x-apus-reason")

    def __repr__(self):
        return (f"<{self.status} {self.fields} {self.body[:200]!r} trailers {self.trailers} ended {self.ended} "
                f"reset {self.reset}>")


class Peer:
    """One end of a connection. Frames that come are kept in `seen`; every wait has an end."""

    def __init__(self, sock, seconds=5.0):
        self.socket, self.seconds, self.buffer = sock, seconds, b""
        sock.settimeout(seconds)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder, self.encoder = hpack.Decoder(), hpack.Encoder()
        self.decoder.max_header_list_size = 1 << 20
        self.seen, self.answers, self.block, self.settings, self.ended = [], {}, None, {}, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        """Sends bytes; what the other side does with the connection shows when reading."""
        # A wait for a frame leaves its own time behind.
        self.socket.settimeout(self.seconds)
        try:
            self.socket.sendall(b"".join(frames))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _fill(self, count, end):
        while len(self.buffer) < count:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                more = self.socket.recv(262144)
            except TimeoutError:
                raise TimeoutError(f"nothing came; so far: {self.seen[-8:]}") from None
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                self.ended = True
                raise Closed(f"the connection has ended; so far: {self.seen[-8:]}")
            self.buffer += more

    def frame(self, seconds=None):
        """The next frame. Raises Closed or TimeoutError."""
        end = time.monotonic() + (self.seconds if seconds is None else seconds)
        self._fill(9, end)
        length = int.from_bytes(self.buffer[:3], "big")
        self._fill(9 + length, end)
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & LARGEST_WINDOW
        found = Frame(kind, flags, stream, self.buffer[9:9 + length])
        self.buffer = self.buffer[9 + length:]
        self.seen.append(found)
        self._note(found)
        return found

    def until(self, wanted, seconds=None):
        """The next frame for which `wanted` holds; answers to SETTINGS are given on the way."""
        end = time.monotonic() + (self.seconds if seconds is None else seconds)
        while True:
            found = self.frame(max(0.0, end - time.monotonic()))
            if wanted(found):
                return found

    def _note(self, found):
        answer = self.answers.setdefault(found.stream, Answer())
        payload = found.payload
        if found.type in (DATA, HEADERS) and found.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if found.type == HEADERS:
            if found.flags & HAS_PRIORITY:
                payload = payload[5:]
            self.block = (found, payload)
        elif found.type == CONTINUATION:
            assert self.block and self.block[0].stream == found.stream, "CONTINUATION without HEADERS"
            self.block = (self.block[0], self.block[1] + payload)
        elif found.type == DATA:
            answer.body += payload
            answer.ended |= bool(found.flags & END_STREAM)
        elif found.type == RST_STREAM:
            answer.reset = found.number()
        elif found.type == SETTINGS and not found.flags & ACK:
            for at in range(0, len(payload), 6):
                self.settings[int.from_bytes(payload[at:at + 2], "big")] = found.number(at + 2)
            self.send(settings(flags=ACK))
        if found.type in (HEADERS, CONTINUATION) and found.flags & END_HEADERS:
            first, whole = self.block
            self.block = None
            self._head(answer, self.decoder.decode(whole), bool(first.flags & END_STREAM))

    def _head(self, answer, fields, end):
        answer.ended |= end
        found = dict(fields)
        if ":status" in found and found[":status"].startswith("1"):
            answer.interim.append(int(found[":status"]))
        elif answer.status is None and ":status" in found:
            answer.status = int(found[":status"])
            answer.fields = [(n, v) for n, v in fields if n != ":status"]
        elif answer.status is None and not answer.fields:
            answer.fields = list(fields)
        else:
            answer.trailers = list(fields)

    # What tests ask.

    def answer(self, stream, seconds=None):
        """Everything of one stream up to its end or reset."""
        end = time.monotonic() + (self.seconds if seconds is None else seconds)
        while True:
            found = self.answers.get(stream)
            if found and (found.ended or found.reset is not None):
                return found
            self.frame(max(0.0, end - time.monotonic()))

    def head(self, stream, seconds=None):
        """The stream's answer as soon as its final head is there."""
        end = time.monotonic() + (self.seconds if seconds is None else seconds)
        while not (found := self.answers.get(stream)) or (found.status is None and found.reset is None):
            self.frame(max(0.0, end - time.monotonic()))
        return found

    def barrier(self, opaque=b"barrier1"):
        """Waits until everything sent so far has been read by the other side: it answers a PING."""
        self.send(ping(opaque))
        self.until(lambda f: f.type == PING and f.flags & ACK and f.payload == opaque)

    def goaway_code(self):
        """The code of the GOAWAY that comes, or None if the connection ends without; then waits for that end."""
        code = None
        try:
            while True:
                found = self.frame()
                if found.type == GOAWAY and found.number(4) != NO_ERROR:
                    code = found.number(4)
        except Closed:
            return code


class Client(Peer):
    """A client that has sent its preface and SETTINGS, and has read the server's."""

    def __init__(self, port, seconds=5.0, greet=True, own=(), wrap=None, address="127.0.0.1"):
        sock = socket.create_connection((address, port), timeout=seconds)
        super().__init__(wrap(sock) if wrap else sock, seconds)
        self.last = -1
        if greet:
            self.greet(*own)

    def greet(self, *own):
        self.send(PREFACE, settings(*own))
        self.until(lambda f: f.type == SETTINGS and f.flags & ACK)

    def stream(self):
        """The next stream identifier."""
        self.last += 2
        return self.last

    def request(self, path="/", method="GET", fields=(), end=True, authority="server", scheme="http"):
        stream = self.stream()
        self.send(headers(stream, get(path, method, authority, scheme, fields), end))
        return stream

    def fetch(self, path="/", **options):
        """A request and its whole answer."""
        return self.answer(self.request(path, **options))


class Listener:
    """A listening socket for servers by hand."""

    def __init__(self, seconds=5.0):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.seconds, self.port = seconds, self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def accept(self, seconds=None):
        self.socket.settimeout(self.seconds if seconds is None else seconds)
        return self.socket.accept()[0]


class Server(Peer):
    """A server end whose client has sent its preface and SETTINGS."""

    def __init__(self, sock, seconds=5.0, greet=True, own=()):
        super().__init__(sock, seconds)
        self._fill(len(PREFACE), time.monotonic() + seconds)
        assert self.buffer.startswith(PREFACE), f"not a client's preface: {self.buffer[:30]!r}"
        self.buffer = self.buffer[len(PREFACE):]
        if greet:
            self.send(settings(*own))
            self.until(lambda f: f.type == SETTINGS and not f.flags & ACK)

    def next_request(self, seconds=None):
        """The stream of the next request's HEADERS."""
        return self.until(lambda f: f.type == HEADERS, seconds).stream

    def respond(self, stream, status=200, body=b"ok\n", fields=(), trailers=(), end=True):
        self.send(headers(stream, [(":status", str(status)), *fields], end=end and not body and not trailers))
        if body:
            self.send(data(stream, body, end=end and not trailers))
        if trailers:
            self.send(headers(stream, list(trailers), end=True))
