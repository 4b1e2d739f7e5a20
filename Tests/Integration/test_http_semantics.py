"""What HTTP/1.1 promises holds through two proxies: framing, trailers, 100-continue, upgrades, CONNECT."""

import contextlib
import json
import os
import re
import socket
import sys
import time
from email.utils import parsedate_to_datetime

import pytest

from support import raw
from support.processes import APPS, free_port


@pytest.fixture(scope="module")
def pair(shared_mesh):
    port = free_port()
    server = shared_mesh.server(namespace="semantics")
    client = shared_mesh.client(namespace="semantics", upstreams={"server": port})
    raw.eventually(lambda: raw.get(port, "/").status == 200, 15)
    yield client, server, port
    for workload in (client, server):
        shared_mesh.stop_workload(workload)


def test_trailers_pass_both_ways(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        connection.send(b"POST /trailers HTTP/1.1\r\nHost: server\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n"
                        b"Trailer: x-up\r\n\r\n3\r\nabc\r\n0\r\nx-up: 3\r\n\r\n")
        answer = connection.response()
    assert answer.body == b"hello world" and answer.trailers == ["x-sum: 11"]
    assert "x-up: 3" in answer.header("x-received-trailers")


def test_the_body_waits_for_100_continue(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        connection.send(b"POST /expect HTTP/1.1\r\nHost: server\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        connection.send(b"hello")
        answer = connection.response()
    assert answer.status == 200 and json.loads(answer.body)["length"] == 5


def test_an_unknown_expectation_is_refused(pair):
    _, server, port = pair
    answer = raw.get(port, "/unknown-expectation", [("Expect", "the-unexpected")])
    assert answer.status == 417 and answer.reason == "expectation_failed"
    assert b"unknown-expectation" not in server.recorded()


@pytest.mark.parametrize("status", [200, 201, 204, 206, 304, 404, 418, 500, 599])
def test_statuses_pass_and_the_connection_stays_usable(pair, status):
    _, _, port = pair
    with raw.Connection(port) as connection:
        for method in ("POST", "HEAD"):
            connection.request(method, f"/status/{status}")
            assert connection.response(method).status == status
        connection.request("GET", "/")
        assert connection.response().body == b"server\n"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"])
def test_methods_pass(pair, method):
    _, _, port = pair
    assert json.loads(raw.get(port, "/headers?a=b&c=%20d", method=method).body)["method"] == method


def test_the_target_arrives_as_it_was_sent(pair):
    _, _, port = pair
    for target in ("/headers?x=1&y=%2F&z=a+b", "/headers?a=?b=/", "/headers?q=" + "a" * 4000):
        assert json.loads(raw.get(port, target).body)["target"] == target


@pytest.mark.parametrize("path", ["/headers/@scope%2Fname", "/headers/group%2Fproject/-/x", "/headers/a%5Cb"])
def test_escaped_slashes_arrive_as_they_were_sent(pair, path):
    """Where no rule tells paths apart; `test_no_spelling_reaches_a_guarded_path` is about where one does."""
    _, _, port = pair
    assert json.loads(raw.get(port, path).body)["target"] == path


def test_chunk_extensions_do_no_harm(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        for _ in range(2):
            connection.send(b"POST /hash HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"5;a=b\r\nhello\r\n6;c=\"d;e\";f\r\n world\r\n0;last\r\n\r\n")
            assert json.loads(connection.response().body)["length"] == 11


def test_answers_of_the_mesh_have_a_date_and_an_id(pair):
    client, _, _ = pair
    answer = client.get("http://nobody-here/")
    assert answer.header("x-apus-reason") == "no_service"
    assert abs(parsedate_to_datetime(answer.header("date")).timestamp() - time.time()) < 60
    found = answer.header("x-request-id")
    assert found and found in client.admin(f"/decisions?id={found}").body.decode()
    assert client.get("http://nobody-here/", fields=[("x-request-id", "mine-1")]).header("x-request-id") == "mine-1"


def test_http_1_0_is_answered_and_closed(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        connection.send(b"GET / HTTP/1.0\r\nHost: server\r\n\r\n")
        assert connection.response().body == b"server\n" and connection.is_closed()


def test_connection_close_is_honoured(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        connection.request("GET", "/", [("Connection", "close")])
        answer = connection.response()
        assert answer.header("connection") == "close" and connection.is_closed()


def test_hop_by_hop_fields_do_not_pass(pair):
    _, _, port = pair
    sent = [("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic c2VjcmV0"), ("TE", "gzip"), ("X-End", "2")]
    names = {name.lower() for name, _ in json.loads(raw.get(port, "/headers", sent).body)["fields"]}
    assert "x-end" in names
    assert not names & {"x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "te"}, names


def test_request_ids_and_trace_context(pair):
    _, _, port = pair
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    names = {n.lower(): v for n, v in json.loads(raw.get(port, "/headers", [("traceparent", trace)]).body)["fields"]}
    assert names["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    ids = {dict((n.lower(), v) for n, v in json.loads(raw.get(port, "/headers").body)["fields"])["x-request-id"]
           for _ in range(50)}
    assert len(ids) == 50


def test_an_upgrade_is_passed_through(pair):
    _, _, port = pair
    with raw.Connection(port) as connection:
        connection.request("GET", "/upgrade", [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                                               ("Sec-WebSocket-Version", "13")])
        answer = connection.response()
        assert answer.status == 101 and answer.header("upgrade").lower() == "websocket", answer
        for size in (1, 1000, 1_000_000):
            sent = bytes([size & 0xFF]) * size
            connection.send(sent)
            assert connection._exactly(size) == sent


def test_connect_reaches_services_of_the_mesh_and_nothing_else(pair):
    client, _, _ = pair
    with raw.Connection(client.forward_port) as connection:
        connection.send(b"CONNECT server:80 HTTP/1.1\r\nHost: server:80\r\n\r\n")
        assert connection.response("CONNECT").status == 200
        connection.request("GET", "/")
        assert connection.response().body == b"server\n"
    for target in (f"127.0.0.1:{client.admin_port}", "localhost:22", "nobody:80", "server:81", "server"):
        with raw.Connection(client.forward_port) as connection:
            connection.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            answer = connection.response()
            assert 400 <= answer.status < 500 and answer.reason, (target, answer)


def test_tcp_services_keep_half_closed_connections(shared_mesh):

    port = free_port()
    echo = shared_mesh.run("echo", sys.executable, f"{APPS}/tcp_echo.py", "{env}", protocol="tcp", namespace="tcp")
    client = shared_mesh.client(namespace="tcp", upstreams={"echo": port})
    try:
        def conversation(size):
            with raw.Connection(port, 10) as connection:
                connection.send(b"x" * size)
                connection.socket.shutdown(socket.SHUT_WR)
                return connection.rest()
        raw.eventually(lambda: conversation(1) == b"x" + b"bye 1\n", 15)
        for size in (0, 1, 100, 1_000_000):
            assert conversation(size) == b"x" * size + b"bye %d\n" % size
        metrics = client.admin("/metrics").body.decode()
        assert "istio_tcp_sent_bytes_total" in metrics and "istio_tcp_received_bytes_total" in metrics
    finally:
        for workload in (client, echo):
            shared_mesh.stop_workload(workload)


def test_servers_that_send_head_and_body_apart_wait_for_no_acknowledgement(shared_mesh):
    """The kernel delays an acknowledgement by 40 ms, for which Nagle's algorithm keeps the body back: not behind the mesh."""
    port = free_port()
    server = shared_mesh.run("apart", sys.executable, f"{APPS}/two_writes.py", "{env}", namespace="apart")
    client = shared_mesh.client(namespace="apart", upstreams={"apart": port})

    def median(where):
        times = []
        with raw.Connection(where) as connection:
            for _ in range(15):
                began = time.monotonic()
                connection.request("GET", "/", host="apart")
                assert connection.response().body == b"in two writes\n"
                times.append(time.monotonic() - began)
        return sorted(times)[len(times) // 2]
    try:
        raw.eventually(lambda: raw.get(port, "/").status == 200, 15)
        direct, meshed = median(server.app_port), median(port)
        assert direct > 0.03, f"this server is not what the test is about: {direct}"
        assert meshed < 0.02, f"{meshed} s in the middle, {direct} s without the mesh"
    finally:
        for workload in (client, server):
            shared_mesh.stop_workload(workload)


def wakes(pid):
    """How often the workers of a proxy have slept and been woken."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status") as file:
            status = file.read()
        if re.search(r"^Name:\s+worker", status):
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])
    return total


def test_open_connections_are_counted_while_they_flow_and_wake_nobody_while_idle(shared_mesh):
    port, count = free_port(), 300
    echo = shared_mesh.run("echo", sys.executable, f"{APPS}/tcp_echo.py", "{env}", protocol="tcp", namespace="idle")
    client = shared_mesh.client(namespace="idle", upstreams={"echo": port})

    def received(workload, reporter):
        text = workload.admin("/metrics").body.decode()
        return sum(int(found) for found in re.findall(
            r'^istio_tcp_received_bytes_total\{.*reporter="%s".*\} (\d+)' % reporter, text, re.M))

    def say(connection):
        connection.send(b"x" * 10)
        assert connection._exactly(10) == b"x" * 10

    def all_told(size):
        return received(client, "source") == received(echo, "destination") == size
    try:
        def first():
            with raw.Connection(port, 10) as connection:
                connection.send(b"x")
                connection.socket.shutdown(socket.SHUT_WR)
                return connection.rest() == b"xbye 1\n"
        raw.eventually(first, 15)
        before = received(client, "source")
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(raw.Connection(port, 10)) for _ in range(count)]
            for connection in connections:
                say(connection)
                time.sleep(0.005)
            raw.eventually(lambda: all_told(before + 10 * count), 15)
            # Neither the 5 seconds after which what passed is told, nor the clock that ends what is idle, wakes a worker.
            pids = [client.sidecar_pid, echo.sidecar_pid]
            earlier = [wakes(pid) for pid in pids]
            time.sleep(6)
            woken = [wakes(pid) - then for pid, then in zip(pids, earlier)]
            assert max(woken) < 30, f"idle connections wake proxies: {woken}"
            # One that was idle is counted again as soon as it is used.
            say(connections[0])
            raw.eventually(lambda: all_told(before + 10 * count + 10), 15)
    finally:
        for workload in (client, echo):
            shared_mesh.stop_workload(workload)


def test_connections_to_the_application_are_kept(pair):
    client, _, port = pair
    raw.get(port, "/")
    opened = set()
    for _ in range(50):
        assert raw.get(port, "/").status == 200
        opened.add(client.admin("/connections").status)
    assert opened == {200}
