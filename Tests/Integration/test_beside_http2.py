"""What is done beside a request, where clients and endpoints speak HTTP/2: second tries, copies, affinity, checks."""

import collections
import threading
import time
from concurrent import futures

import grpc
import pytest

from support import http2, raw
from support.processes import free_port
from support.static import Server, rule


class Caller:
    """A client of a proxy in one version of HTTP."""

    def __init__(self, proxy, version):
        self.proxy, self.version = proxy, version

    def call(self, path="/", method="GET", fields=(), body=b""):
        if self.version == 1:
            return self.proxy.get(path, method=method, fields=list(fields), body=body)
        with http2.Client(self.proxy.port) as client:
            stream = client.request(path, method, list(fields), end=not body)
            if body:
                client.send(http2.data(stream, body, end=True))
            return client.answer(stream)


@pytest.fixture(params=[1, 2], ids=["HTTP/1.1 client", "HTTP/2 client"], name="caller")
def version(request):
    return lambda proxy: Caller(proxy, request.param)


def server_of(answer):
    return answer.header("x-server")


def test_a_second_try_answers_for_a_slow_first_one(static, caller):
    fast, slow = static.server2("fast"), static.server2("slow", wait_ms=1500)
    policy = {"balancer": "roundRobin", "retry": {"hedgeDelayMilliseconds": 100}}
    client = caller(static.proxy([fast, slow], policy, protocol="http2"))
    times = []
    for _ in range(6):
        begin = time.monotonic()
        answer = client.call("/hash", "PUT", body=b"once or twice" * 100)
        times.append(time.monotonic() - begin)
        assert answer.status == 200 and server_of(answer) == "fast" and b'"length": 1300' in answer.body, answer
    assert max(times) < 1.2, times
    # The slow try was cancelled, on a connection that stays.
    raw.eventually(lambda: slow.streams()["resets"] >= 2)
    asked = slow.streams()
    assert asked["streams"] >= 2 and slow.counts()["requests"]["/hash"] >= 2, asked
    before = fast.counts()["requests"]["/hash"]
    answers = [server_of(client.call("/hash", "POST", body=b"once")) for _ in range(2)]
    assert sorted(answers) == ["fast", "slow"] and fast.counts()["requests"]["/hash"] == before + 1


def test_copies_neither_delay_nor_fail_and_arrive_whole(static, caller):
    server, shadow = static.server2("server"), static.server2("shadow", wait_ms=700)
    port = [{"number": 80, "name": "http", "targetPortName": "http", "appProtocol": "http2"}]
    mirror = {"namespace": "default", "service": "shadow", "port": 80, "numerator": 1}
    client = caller(static.proxy(
        [server], routes=[rule("/", 0, filters={"mirrors": [mirror]})], protocol="http2",
        services=[{"namespace": "default", "name": "shadow", "ports": port}],
        workloads=[server.workload(), shadow.workload("default/shadow")]))
    times = []
    for _ in range(4):
        begin = time.monotonic()
        answer = client.call("/hash", "POST", body=b"copied" * 1000)
        times.append(time.monotonic() - begin)
        assert answer.status == 200 and server_of(answer) == "server" and b'"length": 6000' in answer.body, answer
    assert max(times) < 0.6, times
    raw.eventually(lambda: shadow.counts() == {"requests": {"/hash": 4}, "bytes": {"/hash": 24000}})
    shadow.program.kill()
    assert [client.call("/").status for _ in range(5)] == [200] * 5


def test_keys_cookies_and_sessions_keep_their_endpoint(static, caller):
    servers = [static.server2(f"s{index}") for index in range(4)]

    def names(client, count, **options):
        return collections.Counter(server_of(client.call(**options)) for _ in range(count))
    by_header = caller(static.proxy(servers, {"balancer": "maglev", "balance": {
        "affinity": "header", "affinityName": "X-User"}}, protocol="http2"))
    homes = {user: names(by_header, 3, fields=[("x-user", user)]) for user in ("ann", "bob", "cy", "dan", "eve", "flo")}
    assert all(len(home) == 1 for home in homes.values()) and len({next(iter(home)) for home in homes.values()}) > 1, homes
    by_cookie = caller(static.proxy(servers, {"balance": {"affinity": "cookie", "affinityName": "shop"}}, protocol="http2"))
    first = by_cookie.call()
    pair = first.header("set-cookie").split(";")[0]
    assert pair.startswith("shop=")
    for _ in range(5):
        # In HTTP/2 a client may send each cookie in a field of its own.
        again = by_cookie.call(fields=[("cookie", "other=1"), ("cookie", pair)])
        assert server_of(again) == server_of(first) and again.header("set-cookie") is None, again
    session = caller(static.proxy(servers, routes=[rule(sessionPersistence={"header": "X-Session"})], protocol="http2"))
    given = session.call().header("x-session")
    assert given and len(names(session, 5, fields=[("x-session", given)])) == 1
    assert len(names(session, 30)) > 1


class Replies:
    """A server of gRPC by hand: each call is answered with the next of these fields, trailers only, the last one for ever;
    what comes as a list is sent as a head with a message, and then trailers."""

    def __init__(self, *replies):
        self.replies, self.times, self.listener = list(replies), [], http2.Listener(30)
        self.port = self.listener.port
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept(60),), daemon=True).start()
        except OSError:
            pass

    def serve(self, connection):
        head = [(":status", "200"), ("content-type", "application/grpc")]
        try:
            with http2.Server(connection, 60) as server:
                while True:
                    stream = server.next_request()
                    self.times.append(time.monotonic())
                    reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                    if isinstance(reply, list):
                        server.send(http2.headers(stream, head, end=False), http2.data(stream, b"\0\0\0\0\2ok"),
                                    http2.headers(stream, list(reply[0].items())))
                    else:
                        server.send(http2.headers(stream, [*head, *reply.items()]))
        except (http2.Closed, TimeoutError, OSError):
            pass


GOOD, BUSY = {"grpc-status": "0"}, {"grpc-status": "14", "grpc-message": "not now"}


@pytest.mark.parametrize("replies, status, calls", [
    ((BUSY, GOOD), "0", 2), ((BUSY,), "14", 3), (({"grpc-status": "8"}, GOOD), "8", 1), (({"grpc-status": "13"}, GOOD), "13", 1),
    # An answer that has begun is the client's already.
    (([BUSY], GOOD), "14", 1),
    # The server says when, or that it wants no more of it.
    (({**BUSY, "grpc-retry-pushback-ms": "700"}, GOOD), "0", 2), (({**BUSY, "grpc-retry-pushback-ms": "-1"}, GOOD), "14", 1),
    (({**BUSY, "grpc-retry-pushback-ms": "soon"}, GOOD), "14", 1)],
    ids=["once", "for ever", "resource exhausted", "internal", "begun", "later", "never", "nonsense"])
def test_calls_are_tried_again_where_their_endpoint_is_unavailable(static, replies, status, calls):
    server = Replies(*replies)
    proxy = static.proxy([Server("server", server.port, None)], {"retry": {"attempts": 2, "backoffMilliseconds": 1}},
                         protocol="grpc")
    with http2.Client(proxy.port, 30) as client:
        answer = client.fetch("/test.Name/Get", method="POST", fields=[("content-type", "application/grpc"), ("te", "trailers")])
    found = dict(answer.trailers) if answer.trailers else dict(answer.fields)
    assert (found["grpc-status"], len(server.times)) == (status, calls), (answer, server.times)
    waited = server.times[-1] - server.times[0]
    assert calls != 2 or "grpc-retry-pushback-ms" not in replies[0] or waited >= 0.7, server.times
    server.listener.socket.close()


class HealthServer:
    """A server of gRPC that says how it is; `status` None is one without the health service."""

    def __init__(self, status=1):
        self.status, self.asked = status, []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{free_port()}")
        self.server.start()

    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check" and self.status is not None:
            return grpc.unary_unary_rpc_method_handler(self.check)
        if details.method == "/test.Name/Get":
            return grpc.unary_unary_rpc_method_handler(lambda *_: str(self.port).encode())
        return None

    def check(self, request, _):
        # `service` is field 1 of the request; the answer's `status` field 1: SERVING is 1, NOT_SERVING 2.
        self.asked.append(request[2:].decode())
        return bytes((8, self.status))


def test_health_checks_of_grpc(static):
    servers = [HealthServer(), HealthServer(2), HealthServer(None)]
    try:
        check = {"type": "grpc", "grpcService": "shop.Cart", "intervalMilliseconds": 1000, "timeoutMilliseconds": 500,
                 "unhealthyThreshold": 1, "healthyThreshold": 1}
        endpoints = [Server(f"s{index}", server.port, None) for index, server in enumerate(servers)]
        proxy = static.proxy(endpoints, {"balancer": "roundRobin", "healthCheck": check, "retry": {"attempts": 0},
                                         "balance": {"panicThresholdPercent": 0}}, protocol="grpc")

        def counted(name):
            return [line.split()[1] for line in proxy.admin("/metrics").splitlines() if line.startswith(f"{name} ")]
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=[
                ("grpc.default_authority", "server"), ("grpc.enable_http_proxy", 0)]) as channel:
            def ask():
                return int(channel.unary_unary("/test.Name/Get")(b"", timeout=5))
            ask()
            # One does not serve, one does not know the service: both are left alone.
            raw.eventually(lambda: counted("apus_health_check_failures_total") == ["2"], 15)
            assert {ask() for _ in range(9)} == {servers[0].port}
            assert set(servers[0].asked) == {"shop.Cart"}
            servers[1].status = 1
            raw.eventually(lambda: counted("apus_health_check_recoveries_total") == ["1"], 15)
            assert {ask() for _ in range(10)} == {servers[0].port, servers[1].port}
            servers[0].status = 2
            raw.eventually(lambda: counted("apus_health_check_failures_total") == ["3"], 15)
            assert {ask() for _ in range(6)} == {servers[1].port}
    finally:
        for server in servers:
            server.server.stop(None)
