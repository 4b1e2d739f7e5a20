"""RFC 9113, sections 3 to 5: starting, frames as such, streams."""

import contextlib

from support import http2
from support.http2 import (ACK, COMPRESSION_ERROR, END_HEADERS, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PING, PREFACE,
                           PROTOCOL_ERROR, REFUSED_STREAM, SETTINGS, STREAM_CLOSED, Closed, continuation, data, frame,
                           get, headers, ping, priority, reset, settings, window_update)

from . import rule


# 3.4: the preface.

@rule("3.4", "the server's first frame is SETTINGS", greet=False)
def first_frame(c):
    c.send(PREFACE, settings())
    found = c.frame()
    assert found.type == SETTINGS and not found.flags & ACK and found.stream == 0, found


@rule("3.4", "a request right behind the preface is served", greet=False)
def request_at_once(c):
    c.send(PREFACE, settings(), headers(1, get()))
    c.served(1)


@rule("3.4", "a preface that comes byte by byte is a preface", greet=False)
def preface_in_bytes(c):
    for byte in PREFACE + settings():
        c.send(bytes((byte,)))
    c.last = -1
    c.served()


@rule("3.4", "something else than the preface ends the connection", greet=False)
def not_a_preface(c):
    c.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    with contextlib.suppress(Closed):
        while c.socket.recv(65536):
            pass


@rule("3.4", "a preface that goes wrong in its second half ends the connection", greet=False)
def half_a_preface(c):
    c.send(PREFACE[:-6], b"XX\r\n\r\n", settings())
    with contextlib.suppress(ConnectionResetError):
        while c.socket.recv(65536):
            pass


@rule("3.4", "the first frame behind the preface is SETTINGS", greet=False)
def preface_without_settings(c):
    c.send(PREFACE, headers(1, get()))
    c.connection_error(PROTOCOL_ERROR)


@rule("3.4", "an acknowledgement does not stand for the first SETTINGS", greet=False)
def preface_with_ack(c):
    c.send(PREFACE, settings(flags=ACK), headers(1, get()))
    c.connection_error(PROTOCOL_ERROR)


# 4.1 and 4.2: frames and their sizes.

@rule("4.1", "frames of unknown types are ignored")
def unknown_type(c):
    for stream in (0, 1, 7):
        c.send(frame(0xBB, 0xFF, stream, b"whatever"))
    c.served()


@rule("4.1", "undefined flags are ignored")
def undefined_flags(c):
    c.send(frame(PING, 0xFE, 0, b"flagged!"))
    c.until(lambda f: f.type == PING and f.flags & ACK and f.payload == b"flagged!")


@rule("4.1", "the reserved bit is ignored")
def reserved_bit(c):
    c.send(frame(PING, 0, 1 << 31, b"reserved"))
    c.until(lambda f: f.type == PING and f.flags & ACK and f.payload == b"reserved")


@rule("4.2", "DATA of 2^14 octets is taken")
def largest_data(c):
    stream = c.request("/hash", "POST", end=False)
    c.send(data(stream, bytes(16384), end=True))
    assert b"16384" in c.served(stream).body


@rule("4.2", "DATA over the largest size")
def oversized_data(c):
    stream = c.request(method="POST", end=False)
    c.send(data(stream, bytes(16385)))
    c.stream_error(stream, FRAME_SIZE_ERROR) if not c.strict else c.connection_error(FRAME_SIZE_ERROR)


@rule("4.2", "HEADERS over the largest size")
def oversized_headers(c):
    c.send(headers(1, bytes(16385)))
    c.connection_error(FRAME_SIZE_ERROR)


@rule("4.2", "SETTINGS over the largest size")
def oversized_settings(c):
    c.send(settings(*[(0xFF, 1)] * 2731))
    c.connection_error(FRAME_SIZE_ERROR)


@rule("4.2", "a frame of unknown type over the largest size")
def oversized_unknown(c):
    c.send(frame(0xBB, 0, 0, bytes(16385)))
    c.connection_error(FRAME_SIZE_ERROR)


# 4.3: header blocks.

@rule("4.3", "a header block that cannot be decoded")
def bad_block(c):
    c.send(headers(1, b"\x40"))
    c.connection_error(COMPRESSION_ERROR)


@rule("4.3", "PRIORITY within a header block")
def priority_in_block(c):
    c.send(headers(1, get(), flags=0), priority(1), continuation(1))
    c.connection_error(PROTOCOL_ERROR)


@rule("4.3", "another stream's HEADERS within a header block")
def headers_in_block(c):
    c.send(headers(1, get(), flags=0), headers(3, get()))
    c.connection_error(PROTOCOL_ERROR)


@rule("4.3", "the block of a refused request is decoded all the same")
def state_of_refused(c):
    # The malformed request puts a field into the table, which the next one refers to.
    c.send(headers(1, http2.block(get()) + http2.literal("x-kept", "value", 0x40) + http2.literal("Bad", "1")))
    c.send(headers(3, http2.block(get("/headers")) + b"\xbe"))
    assert b"x-kept" in c.served(3).body


# 5.1: states of streams.

@rule("5.1", "idle: DATA")
def idle_data(c):
    c.send(data(1, b"x", end=True))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1", "idle: RST_STREAM")
def idle_reset(c):
    c.send(reset(1))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1", "idle: WINDOW_UPDATE")
def idle_window(c):
    c.send(window_update(100, 1))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1", "idle: CONTINUATION")
def idle_continuation(c):
    c.send(continuation(1, http2.block(get())))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1", "idle: PRIORITY is taken and opens nothing")
def idle_priority(c):
    c.send(priority(3), priority(7, 3))
    c.served()


@rule("5.1", "an identifier lower than one that PRIORITY named can be used")
def after_priority(c):
    c.send(priority(9), headers(1, get()))
    c.served(1)


def half_closed(c):
    stream = c.request("/delay/400")
    c.barrier()
    return stream


@rule("5.1", "half-closed: DATA")
def half_closed_data(c):
    stream = half_closed(c)
    c.send(data(stream, b"x"))
    c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "half-closed: HEADERS")
def half_closed_headers(c):
    stream = half_closed(c)
    c.send(headers(stream, get()))
    c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "half-closed: CONTINUATION")
def half_closed_continuation(c):
    stream = half_closed(c)
    c.send(continuation(stream, http2.block(get())))
    c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@rule("5.1", "half-closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are taken")
def half_closed_others(c):
    stream = half_closed(c)
    c.send(window_update(10, stream), priority(stream))
    c.served(stream)
    stream = half_closed(c)
    c.send(reset(stream))
    c.served()


@rule("5.1", "closed by RST_STREAM: DATA")
def reset_data(c):
    stream = c.request(method="POST", end=False)
    c.send(reset(stream), data(stream, b"x"))
    c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "closed by RST_STREAM: HEADERS")
def reset_headers(c):
    stream = c.request(method="POST", end=False)
    c.send(reset(stream), headers(stream, get()))
    c.connection_error(STREAM_CLOSED) if c.strict else c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "closed by RST_STREAM that came later than the request: DATA")
def reset_later_data(c):
    stream = c.request(method="POST", end=False)
    c.barrier()
    c.send(reset(stream), data(stream, b"x"))
    c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "closed by RST_STREAM that came later than the request: HEADERS")
def reset_later_headers(c):
    stream = c.request(method="POST", end=False)
    c.barrier()
    c.send(reset(stream), headers(stream, get()))
    c.connection_error(STREAM_CLOSED) if c.strict else c.stream_error(stream, STREAM_CLOSED)


@rule("5.1", "closed by RST_STREAM: CONTINUATION")
def reset_continuation(c):
    stream = c.request(method="POST", end=False)
    c.send(reset(stream), continuation(stream, http2.block(get())))
    c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@rule("5.1", "closed: DATA")
def closed_data(c):
    c.served()
    c.send(data(1, b"x"))
    c.stream_error(1, STREAM_CLOSED)


@rule("5.1", "closed: HEADERS")
def closed_headers(c):
    c.served()
    c.send(headers(1, get()))
    c.connection_error(STREAM_CLOSED)


@rule("5.1", "closed: CONTINUATION")
def closed_continuation(c):
    c.served()
    c.send(continuation(1, http2.block(get())))
    c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@rule("5.1", "closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are ignored")
def closed_others(c):
    c.served()
    c.send(window_update(10, 1), priority(1), reset(1))
    c.served()


# 5.1.1 and 5.1.2: identifiers and how many.

@rule("5.1.1", "an even identifier")
def even(c):
    c.send(headers(2, get()))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1.1", "an identifier lower than the last one")
def lower(c):
    c.send(headers(5, get()))
    c.served(5)
    c.send(headers(3, get()))
    c.connection_error(PROTOCOL_ERROR)


@rule("5.1.1", "identifiers may be left out")
def gaps(c):
    for stream in (5, 7, 2001, 2**31 - 1):
        c.send(headers(stream, get()))
        c.served(stream)


@rule("5.1.2", "more streams than announced are refused, and the others served")
def concurrency(c):
    most = c.settings.get(http2.MAX_CONCURRENT_STREAMS)
    assert most and most <= 1000, f"a server has a limit: {c.settings}"
    streams = [c.request(method="POST", end=False) for _ in range(most + 1)]
    c.stream_error(streams[-1], REFUSED_STREAM, PROTOCOL_ERROR)
    if c.strict:
        c.send(data(streams[0], end=True))
        c.served(streams[0])
        c.served()


# 5.3: priorities say nothing any more (RFC 9113, section 5.3.2), but a stream still cannot depend on itself (RFC 7540).

@rule("5.3", "all weights and dependencies are taken")
def priorities(c):
    c.send(headers(1, get(), depends=0, weight=0), priority(1, 3, 255), priority(5, 1, 0), priority(5, 3, 15, True))
    c.served(1)
    c.send(headers(7, get(), depends=1, weight=255))
    c.served(7)


@rule("5.3", "HEADERS of a stream that depends on itself")
def self_dependent_headers(c):
    c.send(headers(1, get(), depends=1))
    c.stream_error(1, PROTOCOL_ERROR)


@rule("5.3", "PRIORITY of a stream that depends on itself")
def self_dependent_priority(c):
    stream = half_closed(c)
    c.send(priority(stream, stream))
    c.stream_error(stream, PROTOCOL_ERROR)


@rule("5.3", "the priority fields of RFC 9218 and PRIORITY_UPDATE harm nothing")
def extensible_priorities(c):
    c.send(frame(0x10, 0, 0, http2.word(1) + b"u=3"))
    assert b"u=1, i" in c.served(c.request("/headers", fields=[("priority", "u=1, i")])).body


# 5.4 and 5.5: errors of the connection; extensions.

@rule("5.4.1", "an error ends the connection")
def error_closes(c):
    c.send(ping(b"1234567"))
    try:
        while True:
            c.frame()
    except Closed:
        pass


@rule("5.4.1", "before it ends GOAWAY names the error and the last stream")
def error_says_goaway(c):
    c.served()
    c.send(ping(b"1234567"))
    found = c.until(lambda f: f.type == GOAWAY)
    assert found.number() == 1 and found.number(4) == FRAME_SIZE_ERROR, found


@rule("5.5", "frames of extensions between frames of a stream are ignored")
def extension(c):
    stream = c.request("/hash", "POST", end=False)
    c.send(frame(0x16, 0xFF, stream, b"x" * 100), data(stream, b"hello"), frame(0xF0), data(stream, end=True))
    c.served(stream)


@rule("5.5", "a frame of an extension within a header block")
def extension_in_block(c):
    c.send(frame(HEADERS, 0x1, 1, http2.block(get())), frame(0x16), frame(9, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)
