"""RFC 7541: HPACK, and how large a head may be (RFC 9113, section 6.5.2 and 10.5)."""

import json

import hpack

from support import http2
from support.http2 import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, get, headers, integer, literal

from . import rule

BASE = http2.block(get("/headers"))


def huffman(text):
    encoder = hpack.Encoder()
    code = encoder.huffman_coder.encode(text.encode())
    return integer(len(code), 7, 0x80) + code


def plain(text):
    return integer(len(text), 7) + text.encode()


def arrives(c, block, name, value):
    """A request with the block behind its pseudo-header fields carries the field to the application."""
    stream = c.stream()
    c.send(headers(stream, BASE + block))
    fields = json.loads(c.served(stream).body)["fields"]
    assert [v for n, v in fields if n.lower() == name] == [value], fields


def broken(c, block):
    c.send(headers(c.stream(), BASE + block))
    c.connection_error(COMPRESSION_ERROR)


@rule("7541-2.3.2", "entries are found by their age, and the oldest ones leave")
def dynamic_table(c):
    entries = [(f"x-{number}", str(number) * 3) for number in range(3)]
    c.send(headers(c.stream(), BASE + b"".join(literal(n, v, 0x40) for n, v in entries)))
    c.served(1)
    for index, (name, value) in zip((64, 63, 62), entries):
        arrives(c, integer(index, 7, 0x80), name, value)
    # 100 entries of 42 + 32 octets leave room for 55 of them.
    many = b"".join(literal(f"y-{number:03}", "v" * 37, 0x40) for number in range(60))
    c.send(headers(c.stream(), BASE + many))
    c.served(c.last)
    arrives(c, integer(62, 7, 0x80), "y-059", "v" * 37)
    arrives(c, integer(61 + 54, 7, 0x80), "y-006", "v" * 37)
    broken(c, integer(61 + 56, 7, 0x80))


@rule("7541-2.3.3", "an index behind both tables, in an indexed field")
def index_too_large(c):
    broken(c, integer(62, 7, 0x80))


@rule("7541-2.3.3", "an index behind both tables, for a name")
def name_too_large(c):
    broken(c, integer(62, 6, 0x40) + plain("x"))


@rule("7541-4.2", "a change of the table's size behind a field")
def late_update(c):
    broken(c, integer(0, 5, 0x20))


@rule("7541-4.2", "two changes of the table's size at the beginning, which empty it")
def updates_first(c):
    c.send(headers(c.stream(), BASE + literal("x-kept", "1", 0x40)))
    c.served(1)
    stream = c.stream()
    c.send(headers(stream, integer(0, 5, 0x20) + integer(4096, 5, 0x20) + BASE))
    c.served(stream)
    broken(c, integer(62, 7, 0x80))


@rule("7541-4.4", "an entry larger than the table empties it and is no error")
def huge_entry(c):
    c.send(headers(c.stream(), BASE + literal("x-kept", "1", 0x40) + literal("x-huge", "v" * 4100, 0x40)))
    c.served(1)
    broken(c, integer(62, 7, 0x80))


@rule("7541-4.4", "a new entry may take its name from the one it throws out")
def name_of_evicted(c):
    stream = c.stream()
    c.send(headers(stream, integer(80, 5, 0x20) + BASE + literal("x-name", "a" * 10, 0x40)))
    c.served(stream)
    stream = c.stream()
    c.send(headers(stream, BASE + integer(62, 6, 0x40) + plain("b" * 20)))
    fields = json.loads(c.served(stream).body)["fields"]
    assert [v for n, v in fields if n.lower() == "x-name"] == ["b" * 20], fields


@rule("7541-5.1", "an integer that never ends, and one that is too large")
def endless_integer(c):
    broken(c, b"\xff" + b"\xff" * 20 + b"\x7f")


@rule("7541-5.1", "an integer that is cut off")
def cut_integer(c):
    broken(c, b"\xff\x80")


@rule("7541-5.1", "a string that is longer than the block")
def cut_string(c):
    broken(c, b"\x00\x05abc")


@rule("7541-5.2", "padding of more than seven bits")
def long_padding(c):
    broken(c, b"\x00" + plain("x-test") + b"\x85\x49\x50\x9f\xff\xff")


@rule("7541-5.2", "padding that is not made of ones")
def zero_padding(c):
    # "0" is five zero bits: three bits of padding, which are not ones here.
    broken(c, b"\x00" + plain("x-test") + b"\x81\x00")


@rule("7541-5.2", "the end-of-string symbol within a string")
def end_of_string(c):
    broken(c, b"\x00" + plain("x-test") + b"\x84\xff\xff\xff\xff")


@rule("7541-5.2", "every octet that a value may have, in Huffman code")
def all_octets(c):
    value = "".join(chr(octet) for octet in range(0x21, 0x7F))
    arrives(c, b"\x00" + huffman("x-all") + huffman(value), "x-all", value)


@rule("7541-6.1", "an indexed field")
def indexed(c):
    stream = c.stream()
    c.send(headers(stream, b"\x82\x86\x84" + literal(":authority", "server")))
    c.served(stream)


@rule("7541-6.1", "index 0")
def index_zero(c):
    broken(c, b"\x80")


def representations(c, first, bits):
    for index, name in ((19, "accept"), (0, "x-new")):
        for code in (plain, huffman):
            block = integer(index, bits, first) + (code(name) if index == 0 else b"") + code("some/value")
            arrives(c, block, name, "some/value")
    # Again by a name from the dynamic table.
    c.send(headers(c.stream(), BASE + literal("x-dynamic", "1", 0x40)))
    c.served(c.last)
    arrives(c, integer(62, bits, first) + plain("some/value"), "x-dynamic", "some/value")


@rule("7541-6.2.1", "literals with incremental indexing")
def with_indexing(c):
    representations(c, 0x40, 6)
    arrives(c, integer(62, 7, 0x80), "x-dynamic", "some/value")


@rule("7541-6.2.2", "literals without indexing")
def without_indexing(c):
    representations(c, 0x00, 4)


@rule("7541-6.2.3", "literals never indexed")
def never_indexed(c):
    representations(c, 0x10, 4)


@rule("7541-6.3", "a table size over the setting")
def size_over_limit(c):
    c.send(headers(c.stream(), integer(4097, 5, 0x20) + BASE))
    c.connection_error(COMPRESSION_ERROR)


@rule("7541-6.3", "a smaller table, in one block and in two")
def smaller_table(c):
    for size in (0, 100, 4096):
        stream = c.stream()
        c.send(headers(stream, integer(size, 5, 0x20) + BASE))
        c.served(stream)


@rule("7541-7.1.3", "what must never be indexed is not, on the way back either")
def secrets(c):
    for _ in range(3):
        c.served(c.request("/headers", fields=[("authorization", "Bearer secret")]))


@rule("10.5.1", "a head over the limit is refused, and the connection goes on")
def large_head(c):
    stream = c.stream()
    block = BASE + b"".join(literal(f"x-{number}", "v" * 2000) for number in range(31))
    c.send(headers(stream, block[:16384], flags=0),
           *[http2.continuation(stream, block[at:at + 16384], end=at + 16384 >= len(block))
             for at in range(16384, len(block), 16384)])
    answer = c.answer(stream)
    assert answer.status == 431 or answer.reset in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, http2.REFUSED_STREAM), answer
    c.served()


@rule("10.5.1", "cookie crumbs count like other fields")
def crumbs(c):
    stream = c.stream()
    c.send(headers(stream, BASE + b"".join(literal("cookie", f"c{number}=1") for number in range(200))))
    answer = c.answer(stream)
    assert answer.status == 431 or answer.reset in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, http2.REFUSED_STREAM), answer
    c.served()
