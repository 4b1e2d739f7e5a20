"""The test service of gRPC's interoperability tests, with its few messages coded by hand.

  interop.py      listens on 127.0.0.1:$PORT

Written from the description of the tests (doc/interop-test-descriptions.md of grpc/grpc): what it calls TestService and
UnimplementedService, in the package grpc.testing.
"""

import os
import sys
import time
from concurrent import futures

import grpc

SERVICE = "grpc.testing.TestService"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes((*out, value))


def encode(*fields):
    """Fields as (number, value): an int, bytes, or None to leave it out."""
    out = b""
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, (bytes, str)):
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(value)
    return out


def decode(data):
    """Field numbers with their values in order: ints and bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            at += value
            value = data[at - value:at]
        found.setdefault(key >> 3, []).append(value)
    return found


def first(message, number, default=0):
    return message.get(number, [default])[0]


def payload(size):
    return encode((1, encode((2, bytes(size)))))


def simple_request(response_size=0, body=b"", code=None, message="", expect_compressed=None, response_compressed=None):
    status = None if code is None else encode((1, code), (2, message))

    def boolean(value):
        return None if value is None else encode((1, int(value)))
    return encode((2, response_size), (3, encode((2, body))), (6, boolean(response_compressed)), (7, status),
                  (8, boolean(expect_compressed)))


def streaming_request(sizes=(), body=b"", code=None, message="", interval_us=0):
    status = None if code is None else encode((1, code), (2, message))
    return encode(*[(2, encode((1, size), (2, interval_us))) for size in sizes], (3, encode((2, body))), (7, status))


def body_of(message, number=1):
    """The body of the payload in a message."""
    return first(decode(first(decode(message), number, b"")), 2, b"")


def echo_metadata(context):
    given = dict(context.invocation_metadata())
    if INITIAL in given:
        context.send_initial_metadata(((INITIAL, given[INITIAL]),))
    if TRAILING in given:
        context.set_trailing_metadata(((TRAILING, given[TRAILING]),))


def echo_status(request, context):
    """Ends the call as the request's EchoStatus says, if it has one."""
    wanted = decode(first(request, 7, b""))
    if first(wanted, 1):
        code = next(code for code in grpc.StatusCode if code.value[0] == first(wanted, 1))
        context.abort(code, first(wanted, 2, b"").decode())


def empty_call(_, context):
    echo_metadata(context)
    return b""


def unary_call(data, context):
    request = decode(data)
    echo_metadata(context)
    echo_status(request, context)
    return payload(first(request, 2))


def streaming_input(requests, _):
    return encode((1, sum(len(body_of(data)) for data in requests)))


def streaming_output(data, context):
    request = decode(data)
    echo_status(request, context)
    for parameters in request.get(2, []):
        parameters = decode(parameters)
        time.sleep(first(parameters, 2) / 1e6)
        yield payload(first(parameters, 1))


def full_duplex(requests, context):
    echo_metadata(context)
    for data in requests:
        yield from streaming_output(data, context)


METHODS = {
    "EmptyCall": grpc.unary_unary_rpc_method_handler(empty_call),
    "UnaryCall": grpc.unary_unary_rpc_method_handler(unary_call),
    "StreamingInputCall": grpc.stream_unary_rpc_method_handler(streaming_input),
    "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(streaming_output),
    "FullDuplexCall": grpc.stream_stream_rpc_method_handler(full_duplex),
}


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    return server


if __name__ == "__main__":
    serving = serve(int(os.environ["PORT"] if len(sys.argv) < 2 else sys.argv[1]))
    serving.wait_for_termination()
