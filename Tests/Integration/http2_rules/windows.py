"""RFC 9113, sections 5.2 and 6.9: flow control."""

from support import http2
from support.http2 import (DATA, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, INITIAL_WINDOW_SIZE, LARGEST_WINDOW,
                           PROTOCOL_ERROR, data, frame, settings, window_update)

from . import rule


def received(c, stream):
    return sum(len(f.payload) for f in c.seen if f.type == DATA and f.stream == stream)


def drained(c, stream, count):
    """Waits until exactly so many bytes of a stream have come, and sees that no more do."""
    while received(c, stream) < count:
        c.frame()
    c.barrier()
    assert received(c, stream) == count, f"{received(c, stream)} bytes came, {count} were allowed"


@rule("5.2", "a body that is larger than every window comes as the windows open")
def large_answer(c):
    stream = c.request("/bytes/300000")
    total = 0
    while total < 300000:
        found = c.until(lambda f: f.type == DATA)
        total += len(found.payload)
        if found.payload:
            c.send(window_update(len(found.payload)), window_update(len(found.payload), stream))
    answer = c.served(stream)
    assert answer.body == (bytes(range(256)) * 1200)[:300000]


@rule("5.2", "what the server consumes it lets the client send again")
def large_request(c):
    stream = c.request("/hash", "POST", end=False)
    mine, connection, sent = c.settings.get(INITIAL_WINDOW_SIZE, 65535), 65535, 0
    updates = [f for f in c.seen if f.type == http2.WINDOW_UPDATE and f.stream == 0]
    connection += sum(f.number() for f in updates)
    while sent < 1_000_000:
        piece = min(16384, mine, connection, 1_000_000 - sent)
        if piece <= 0:
            found = c.until(lambda f: f.type == http2.WINDOW_UPDATE)
            mine += found.number() if found.stream else 0
            connection += 0 if found.stream else found.number()
            continue
        c.send(data(stream, bytes(piece)))
        sent, mine, connection = sent + piece, mine - piece, connection - piece
    c.send(data(stream, end=True))
    assert b"1000000" in c.served(stream).body


@rule("6.9", "an increment of 0 on the connection")
def zero_on_connection(c):
    c.send(window_update(0))
    c.connection_error(PROTOCOL_ERROR)


@rule("6.9", "an increment of 0 on a stream")
def zero_on_stream(c):
    stream = c.request("/delay/400")
    c.send(window_update(0, stream))
    c.stream_error(stream, PROTOCOL_ERROR)


@rule("6.9", "WINDOW_UPDATE that has not four octets")
def update_size(c):
    c.send(frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\1"))
    c.connection_error(FRAME_SIZE_ERROR)


@rule("6.9", "the reserved bit of an increment is ignored")
def reserved_bit(c):
    c.send(frame(http2.WINDOW_UPDATE, 0, 0, http2.word(1 << 31 | 10)))
    c.served()


@rule("6.9.1", "a window of one octet lets one octet through")
def window_of_one(c):
    c.send(settings((INITIAL_WINDOW_SIZE, 1)))
    c.barrier()
    stream = c.request()
    drained(c, stream, 1)
    for _ in range(3):
        c.send(window_update(1, stream))
    drained(c, stream, 4)
    c.send(window_update(100, stream))
    c.served(stream)


@rule("6.9.1", "an empty frame with END_STREAM needs no window")
def empty_end(c):
    c.send(settings((INITIAL_WINDOW_SIZE, 0)))
    c.barrier()
    stream = c.request("/bytes/0")
    c.served(stream)


@rule("6.9.1", "the window of the connection holds all streams back, and its update lets them go")
def shared_window(c):
    first, second = c.request("/bytes/65535"), None
    drained(c, first, 65535)
    second = c.request("/bytes/10")
    c.head(second)
    drained(c, second, 0)
    c.send(window_update(10))
    assert len(c.served(second).body) == 10


@rule("6.9.1", "updates of the connection over 2^31 - 1")
def overflow(c):
    c.send(window_update(LARGEST_WINDOW), window_update(LARGEST_WINDOW))
    c.connection_error(FLOW_CONTROL_ERROR)


@rule("6.9.1", "updates of a stream over 2^31 - 1")
def stream_overflow(c):
    stream = c.request("/delay/400")
    c.send(window_update(LARGEST_WINDOW, stream), window_update(LARGEST_WINDOW, stream))
    c.stream_error(stream, FLOW_CONTROL_ERROR)


@rule("6.9.1", "more DATA than the stream's window allows")
def overrun(c):
    # The application does not read, so at some point nothing is let through any more.
    stream = c.request("/stall/3000", "POST", end=False)
    for _ in range(400):
        c.send(*[data(stream, bytes(16384)) for _ in range(16)])
        try:
            while True:
                found = c.frame(0)
                # Whichever window is overrun first: the stream's, or the connection's.
                if found.type in (http2.GOAWAY, http2.RST_STREAM):
                    assert found.number(4 if found.type == http2.GOAWAY else 0) == FLOW_CONTROL_ERROR, found
                    return
        except TimeoutError:
            continue
        except http2.Closed:
            assert not c.strict, "closed without a word"
            return
    raise AssertionError("100 MB were taken for a reader that reads nothing")


@rule("6.9.2", "a changed INITIAL_WINDOW_SIZE moves the windows of open streams")
def change(c):
    c.send(settings((INITIAL_WINDOW_SIZE, 0)))
    c.barrier()
    stream = c.request()
    c.head(stream)
    drained(c, stream, 0)
    c.send(settings((INITIAL_WINDOW_SIZE, 1)))
    drained(c, stream, 1)


@rule("6.9.2", "a window can become negative, and is counted from there")
def negative(c):
    c.send(settings((INITIAL_WINDOW_SIZE, 3)))
    c.barrier()
    stream = c.request("/bytes/100")
    drained(c, stream, 3)
    c.send(settings((INITIAL_WINDOW_SIZE, 2)))
    c.barrier()
    c.send(window_update(1, stream))
    drained(c, stream, 3)
    c.send(window_update(1, stream))
    drained(c, stream, 4)


@rule("6.9.2", "SETTINGS that push a stream's window over 2^31 - 1")
def settings_overflow(c):
    stream = c.request("/delay/400")
    c.send(window_update(LARGEST_WINDOW - 65535, stream), settings((INITIAL_WINDOW_SIZE, 65536)))
    c.connection_error(FLOW_CONTROL_ERROR)


@rule("6.9.2", "a window of 0 ends nothing: heads still come")
def zero_window(c):
    c.send(settings((INITIAL_WINDOW_SIZE, 0)))
    c.barrier()
    stream = c.request("/bytes/5")
    assert c.head(stream).status == 200
    drained(c, stream, 0)
    c.send(window_update(5, stream))
    assert c.served(stream).body == b"\0\1\2\3\4"


@rule("6.9", "padding counts, and its room is given back")
def padding_counts(c):
    stream = c.request("/hash", "POST", end=False)
    window = c.settings.get(INITIAL_WINDOW_SIZE, 65535)
    sent = 0
    while sent < 3 * window and sent < 600_000:
        c.send(data(stream, b"x" * 100, pad=200))
        sent += 301
        if sent % 30100 == 0:
            c.barrier()
    c.send(frame(DATA, END_STREAM, stream))
    c.served(stream)
