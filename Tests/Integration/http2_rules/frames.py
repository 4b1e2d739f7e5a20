"""RFC 9113, sections 6.1 to 6.8, 6.10 and 7: each type of frame, and codes of errors."""

import json

from support import http2
from support.http2 import (ACK, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, HEADERS, PADDED, PING,
                           PROTOCOL_ERROR, SETTINGS, STREAM_CLOSED, continuation, data, frame, get, goaway, headers, ping,
                           priority, reset, settings)

from . import rule


def body_of(answer):
    return json.loads(answer.body)


# 6.1: DATA.

@rule("6.1", "one and several frames make a body")
def bodies(c):
    for pieces in ((b"hello",), (b"he", b"l", b"lo"), (b"hello", b"")):
        stream = c.request("/hash", "POST", end=False)
        c.send(*[data(stream, piece, end=index == len(pieces) - 1) for index, piece in enumerate(pieces)])
        assert body_of(c.served(stream))["length"] == 5


@rule("6.1", "padding is no part of a body, and may be all of a frame")
def padded_data(c):
    stream = c.request("/hash", "POST", end=False)
    c.send(data(stream, b"hello", pad=0), data(stream, b"", pad=255), data(stream, b"!", end=True, pad=100))
    assert body_of(c.served(stream))["length"] == 6


@rule("6.1", "DATA on stream 0")
def data_on_zero(c):
    c.send(data(0, b"x"))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.1", "DATA on a stream that is half-closed")
def data_on_half_closed(c):
    stream = c.request("/delay/400")
    c.send(data(stream, b"x", end=True))
    c.stream_error(stream, STREAM_CLOSED)


@rule("6.1", "padding that is as long as the payload")
def bad_padding(c):
    stream = c.request(method="POST", end=False)
    c.send(frame(DATA, PADDED | END_STREAM, stream, b"\x06hello"))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.1", "a padded frame without a length of its padding")
def no_padding_length(c):
    stream = c.request(method="POST", end=False)
    c.send(frame(DATA, PADDED, stream))
    c.connection_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR)


# 6.2: HEADERS.

@rule("6.2", "padding and priority are no part of a header block")
def padded_headers(c):
    c.send(headers(1, get(), pad=0), headers(3, get(), pad=200), headers(5, get(), pad=9, depends=0),
           headers(7, get(), depends=5))
    for stream in (1, 3, 5, 7):
        c.served(stream)


@rule("6.2", "HEADERS on stream 0")
def headers_on_zero(c):
    c.send(headers(0, get()))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.2", "padding that is longer than the payload")
def bad_headers_padding(c):
    block = http2.block(get())
    c.send(frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, bytes((len(block) + 1,)) + block))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.2", "too short for the priority or the padding that its flags promise")
def short_headers(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | http2.HAS_PRIORITY, 1, b"\0\0\0\0"))
    c.connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


@rule("6.2", "PRIORITY instead of CONTINUATION")
def priority_for_continuation(c):
    c.send(headers(1, get(), flags=0), priority(1))
    c.connection_error(PROTOCOL_ERROR)


# 6.3: PRIORITY.

@rule("6.3", "PRIORITY on stream 0")
def priority_on_zero(c):
    c.send(priority(0))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.3", "PRIORITY that has not five octets")
def priority_size(c):
    stream = c.request("/delay/400")
    c.send(frame(http2.PRIORITY, 0, stream, b"\0\0\0\0"))
    c.stream_error(stream, FRAME_SIZE_ERROR)


# 6.4: RST_STREAM.

@rule("6.4", "a stream is cancelled, and others go on")
def cancelled(c):
    first, second = c.request("/delay/2000"), c.request("/delay/50")
    c.send(reset(first))
    c.served(second)
    assert c.answers.get(first) is None or c.answers[first].status is None


@rule("6.4", "RST_STREAM on stream 0")
def reset_on_zero(c):
    c.send(reset(0))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.4", "RST_STREAM on an idle stream")
def reset_on_idle(c):
    c.served()
    c.send(reset(3))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.4", "RST_STREAM that has not four octets")
def reset_size(c):
    stream = c.request("/delay/400")
    c.send(frame(http2.RST_STREAM, 0, stream, b"\0\0\0"))
    c.connection_error(FRAME_SIZE_ERROR)


# 6.5: SETTINGS.

@rule("6.5", "an acknowledgement with a payload")
def ack_with_payload(c):
    c.send(frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"))
    c.connection_error(FRAME_SIZE_ERROR)


@rule("6.5", "SETTINGS on a stream")
def settings_on_stream(c):
    c.send(settings((http2.MAX_CONCURRENT_STREAMS, 100), stream=1))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.5", "a length that is no multiple of six")
def settings_size(c):
    c.send(frame(SETTINGS, 0, 0, b"\0\3\0\0\0"))
    c.connection_error(FRAME_SIZE_ERROR)


@rule("6.5.2", "ENABLE_PUSH is 0 or 1")
def enable_push(c):
    c.send(settings((http2.ENABLE_PUSH, 0)), settings((http2.ENABLE_PUSH, 1)))
    c.served()
    c.send(settings((http2.ENABLE_PUSH, 2)))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.5.2", "INITIAL_WINDOW_SIZE over 2^31 - 1")
def initial_window(c):
    c.send(settings((http2.INITIAL_WINDOW_SIZE, 2**31)))
    c.connection_error(FLOW_CONTROL_ERROR)


@rule("6.5.2", "MAX_FRAME_SIZE under 2^14")
def small_frame_size(c):
    c.send(settings((http2.MAX_FRAME_SIZE, 16383)))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.5.2", "MAX_FRAME_SIZE over 2^24 - 1")
def large_frame_size(c):
    c.send(settings((http2.MAX_FRAME_SIZE, 2**24)))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.5.2", "no frame is larger than MAX_FRAME_SIZE, whatever that is")
def frame_size_kept(c):
    for most in (16384, 2**24 - 1):
        c.send(settings((http2.MAX_FRAME_SIZE, most)))
        begin = len(c.seen)
        assert len(c.served(c.request("/bytes/60000")).body) == 60000
        assert max(len(f.payload) for f in c.seen[begin:]) <= most
        c.send(http2.window_update(60000))


@rule("6.5.2", "unknown settings are ignored")
def unknown_setting(c):
    c.send(settings((0xFF, 1), (0xAAAA, 2**32 - 1)))
    c.served()


@rule("6.5.2", "a table size of 0 is kept to")
def no_table(c):
    c.send(settings((http2.HEADER_TABLE_SIZE, 0)))
    c.barrier()
    c.decoder.max_allowed_table_size = 0
    for _ in range(4):
        c.served()
    assert c.decoder.header_table_size == 0


@rule("6.5.3", "SETTINGS are acknowledged at once")
def acknowledged(c):
    c.send(settings((http2.MAX_CONCURRENT_STREAMS, 100)))
    c.until(lambda f: f.type == SETTINGS and f.flags & ACK)


@rule("6.5.3", "values are taken in their order, and the last one counts")
def order_of_settings(c):
    c.send(settings((http2.INITIAL_WINDOW_SIZE, 100), (http2.INITIAL_WINDOW_SIZE, 1)))
    c.until(lambda f: f.type == SETTINGS and f.flags & ACK)
    c.request()
    found = c.until(lambda f: f.type == DATA)
    assert len(found.payload) == 1, found


# 6.6: PUSH_PROMISE.

@rule("6.6", "clients do not push")
def push(c):
    stream = c.request(method="POST", end=False)
    c.send(frame(http2.PUSH_PROMISE, END_HEADERS, stream, http2.word(2) + http2.block(get())))
    c.connection_error(PROTOCOL_ERROR)


# 6.7: PING.

@rule("6.7", "the answer has the same octets")
def pings(c):
    for opaque in (b"\0" * 8, b"\xff" * 8, b"pingpong"):
        c.barrier(opaque)


@rule("6.7", "an answer is not answered")
def ack_of_nothing(c):
    c.send(ping(b"stranger", flags=ACK))
    c.barrier(b"question")
    assert not any(f.type == PING and f.payload == b"stranger" for f in c.seen)


@rule("6.7", "PING on a stream")
def ping_on_stream(c):
    c.send(ping(stream=1))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.7", "PING that has not eight octets")
def ping_size(c):
    c.send(ping(b"\0" * 6))
    c.connection_error(FRAME_SIZE_ERROR)


# 6.8: GOAWAY.

@rule("6.8", "GOAWAY on a stream")
def goaway_on_stream(c):
    c.send(goaway(stream=1))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.8", "what was asked for before a GOAWAY is still answered")
def after_goaway(c):
    stream = c.request("/delay/100")
    c.send(goaway(debug=b"leaving"))
    c.served(stream)


@rule("6.8", "GOAWAY that is too short")
def goaway_size(c):
    c.send(frame(http2.GOAWAY, 0, 0, b"\0" * 7))
    c.connection_error(FRAME_SIZE_ERROR)


# 6.10: CONTINUATION.

@rule("6.10", "a block in several frames, empty ones among them")
def pieces(c):
    block = http2.block(get("/headers", fields=[("x-piece", "whole")]))
    c.send(headers(1, block[:1], flags=0), continuation(1, block[1:20], end=False), continuation(1, end=False),
           continuation(1, block[20:]))
    assert ["x-piece", "whole"] in body_of(c.served(1))["fields"]
    c.send(headers(3, b"", flags=0), continuation(3, block))
    c.served(3)


@rule("6.10", "a block of bytes")
def single_bytes(c):
    block = http2.block(get())
    c.send(headers(1, block[:1], flags=0),
           *[continuation(1, block[at:at + 1], end=at == len(block) - 1) for at in range(1, len(block))])
    c.served(1)


@rule("6.10", "something else before the block is whole")
def interrupted(c):
    c.send(headers(1, get(), flags=0), data(1, b"x"))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.10", "CONTINUATION on stream 0")
def continuation_on_zero(c):
    c.send(headers(1, get(), flags=0), continuation(0))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.10", "CONTINUATION on another stream")
def continuation_on_other(c):
    c.send(headers(1, get(), flags=0), continuation(3))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.10", "CONTINUATION behind a HEADERS frame that was whole")
def after_whole_headers(c):
    stream = c.request(method="POST", end=False)
    c.send(continuation(stream, http2.block([("x-more", "1")])))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.10", "CONTINUATION behind one that ended the block")
def after_whole_continuation(c):
    c.send(headers(1, get(method="POST"), end=False, flags=0), continuation(1), continuation(1))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.10", "CONTINUATION behind DATA")
def after_data(c):
    stream = c.request(method="POST", end=False)
    c.send(data(stream, b"x"), continuation(stream, http2.block([("x-more", "1")])))
    c.connection_error(PROTOCOL_ERROR)


# 7: codes.

@rule("7", "unknown codes have no effect of their own")
def unknown_codes(c):
    stream = c.request("/delay/1000")
    c.send(reset(stream, 0xFF))
    c.served()
    last = c.request()
    c.send(goaway(0, 0xFF))
    c.served(last)
