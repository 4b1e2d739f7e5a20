"""The client's half of gRPC's interoperability cases. Each case takes a `Stub` and raises when something is not right."""

import itertools
import os
import sys
import threading

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps"))

from interop import (INITIAL, SERVICE, TRAILING, body_of, decode, encode, first, simple_request,  # noqa: E402
                     streaming_request)

CASES = []
LARGE_REQUEST, LARGE_ANSWER = 271828, 314159
UPLOADS, DOWNLOADS = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
SECONDS = 20


class Stub:
    """Calls without generated code: messages are bytes."""

    def __init__(self, port, authority="server", options=()):
        self.port = port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
            ("grpc.default_authority", authority), ("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0), *options])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, method, message=b"", service=SERVICE, **options):
        """The answer and the call, once it is over."""
        options.setdefault("timeout", SECONDS)
        return self.channel.unary_unary(f"/{service}/{method}").with_call(message, **options)

    def upload(self, messages, **options):
        options.setdefault("timeout", SECONDS)
        return self.channel.stream_unary(f"/{SERVICE}/StreamingInputCall").future(iter(messages), **options)

    def download(self, message, **options):
        options.setdefault("timeout", SECONDS)
        return self.channel.unary_stream(f"/{SERVICE}/StreamingOutputCall")(message, **options)

    def duplex(self, messages, **options):
        options.setdefault("timeout", SECONDS)
        return self.channel.stream_stream(f"/{SERVICE}/FullDuplexCall")(iter(messages), **options)


def case(function):
    CASES.append(function)
    return function


def fails(code, call, details=None):
    """Runs a call that must end with the status."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} {error.details()} instead of {code}"
        if details is not None:
            assert error.details() == details, error.details()
        return error
    raise AssertionError(f"no error where {code} was due")


@case
def empty_unary(stub):
    assert stub.unary("EmptyCall")[0] == b""


@case
def large_unary(stub):
    answer, _ = stub.unary("UnaryCall", simple_request(LARGE_ANSWER, bytes(LARGE_REQUEST)))
    assert body_of(answer) == bytes(LARGE_ANSWER)


@case
def client_streaming(stub):
    answer = stub.upload(encode((1, encode((2, bytes(size))))) for size in UPLOADS).result(SECONDS)
    assert first(decode(answer), 1) == sum(UPLOADS) == 74922


@case
def server_streaming(stub):
    assert [len(body_of(answer)) for answer in stub.download(streaming_request(DOWNLOADS))] == list(DOWNLOADS)


def conversation(stub, turns, **options):
    """Sends one message at a time, each after the answer to the last one; returns the sizes of the answers."""
    mine, sizes = threading.Semaphore(1), []

    def messages():
        for request, answer in turns:
            assert mine.acquire(timeout=SECONDS)
            yield streaming_request((answer,), bytes(request))
    call = stub.duplex(messages(), **options)
    for answer in call:
        sizes.append(len(body_of(answer)))
        mine.release()
    return sizes, call


@case
def ping_pong(stub):
    assert conversation(stub, zip(UPLOADS, DOWNLOADS))[0] == list(DOWNLOADS)


@case
def empty_stream(stub):
    call = stub.duplex(())
    assert not list(call) and call.code() == grpc.StatusCode.OK


@case
def custom_metadata(stub):
    given = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))

    def check(call):
        assert dict(call.initial_metadata())[INITIAL] == given[0][1], call.initial_metadata()
        assert dict(call.trailing_metadata())[TRAILING] == given[1][1], call.trailing_metadata()
    check(stub.unary("UnaryCall", simple_request(LARGE_ANSWER, bytes(LARGE_REQUEST)), metadata=given)[1])
    sizes, call = conversation(stub, [(LARGE_REQUEST, LARGE_ANSWER)], metadata=given)
    assert sizes == [LARGE_ANSWER]
    check(call)


@case
def status_code_and_message(stub):
    text = "test status message"
    fails(grpc.StatusCode.UNKNOWN, lambda: stub.unary("UnaryCall", simple_request(code=2, message=text)), text)
    fails(grpc.StatusCode.UNKNOWN, lambda: list(stub.duplex([streaming_request(code=2, message=text)])), text)


@case
def special_status_message(stub):
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    fails(grpc.StatusCode.UNKNOWN, lambda: stub.unary("UnaryCall", simple_request(code=2, message=text)), text)


@case
def unimplemented_method(stub):
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unary("UnimplementedCall"))


@case
def unimplemented_service(stub):
    fails(grpc.StatusCode.UNIMPLEMENTED,
          lambda: stub.unary("UnimplementedCall", service="grpc.testing.UnimplementedService"))


@case
def cancel_after_begin(stub):
    release = threading.Event()

    def nothing():
        release.wait(SECONDS)
        return
        yield
    call = stub.upload(nothing())
    call.cancel()
    release.set()
    assert call.code() == grpc.StatusCode.CANCELLED


@case
def cancel_after_first_response(stub):
    release = threading.Event()

    def messages():
        yield streaming_request((31415,), bytes(27182))
        release.wait(SECONDS)
    call = stub.duplex(messages())
    assert len(body_of(next(call))) == 31415
    call.cancel()
    fails(grpc.StatusCode.CANCELLED, lambda: next(call))
    release.set()


@case
def timeout_on_sleeping_server(stub):
    release = threading.Event()

    def messages():
        yield streaming_request((1,), bytes(27182), interval_us=2_000_000)
        release.wait(SECONDS)
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(stub.duplex(messages(), timeout=0.1)))
    release.set()


@case
def rpc_soak(stub):
    for number in range(100):
        answer, _ = stub.unary("UnaryCall", simple_request(number * 10, bytes(number)))
        assert len(body_of(answer)) == number * 10


@case
def channel_soak(stub):
    """A channel of its own for each call."""
    for _ in range(20):
        with Stub(stub.port) as fresh:
            large_unary(fresh)


@case
def concurrent_large_unary(stub):
    """A thousand at a time on one channel; the answers are counted and let go."""
    lengths, ended = [], threading.Semaphore(0)

    def done(call):
        lengths.append(len(body_of(call.result())) if call.code() == grpc.StatusCode.OK else call.code())
        ended.release()
    request = simple_request(LARGE_ANSWER, bytes(LARGE_REQUEST))
    for _ in range(1000):
        stub.channel.unary_unary(f"/{SERVICE}/UnaryCall").future(request, timeout=120).add_done_callback(done)
    for _ in range(1000):
        assert ended.acquire(timeout=130)
    assert lengths == [LARGE_ANSWER] * 1000, set(lengths)


@case
def long_ping_pong(stub):
    assert conversation(stub, [(10, 10)] * 300)[0] == [10] * 300


@case
def many_messages_down(stub):
    count = sum(1 for _ in stub.download(streaming_request([3] * 1000)))
    assert count == 1000


@case
def many_messages_up(stub):
    message = encode((1, encode((2, b"abc"))))
    answer = stub.upload(itertools.repeat(message, 5000)).result(SECONDS)
    assert first(decode(answer), 1) == 15000


@case
def concurrent_calls(stub):
    futures = [stub.channel.unary_unary(f"/{SERVICE}/UnaryCall").future(
        simple_request(1000 + n, bytes(n)), timeout=SECONDS) for n in range(200)]
    assert [len(body_of(future.result())) for future in futures] == [1000 + n for n in range(200)]
