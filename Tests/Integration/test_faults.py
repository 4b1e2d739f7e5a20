"""Faults around the proxies: clocks, silence, ends of connections in every state, and what is left behind by all of it."""

import os
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import http2, processes, raw
from support.processes import APPS
from support.scripted import Scripted, read_head
from support.static import PROXY
from test_control_plane import certificate_port, certificate_serial


class Clock:
    """The time of day as a proxy has it, by a library that is preloaded; see apps/clock.c."""

    def __init__(self, folder):
        self.file, library = os.path.join(folder, "clock"), os.path.join(folder, "clock.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, os.path.join(APPS, "clock.c"), "-ldl"], check=True)
        self.set(0)
        self.program = os.path.join(folder, "proxy-with-a-clock")
        with open(self.program, "w") as file:
            file.write(f'#!/bin/sh\nCLOCK_OFFSET_FILE={self.file} LD_PRELOAD={library} exec {PROXY} "$@"\n')
        os.chmod(self.program, 0o755)
        self.environment = {"CLOCK_OFFSET_FILE": self.file, "LD_PRELOAD": library}

    def set(self, seconds):
        """From now on the clock is so far ahead."""
        with open(self.file + ".new", "w") as file:
            file.write(f"{seconds}\n")
        os.replace(self.file + ".new", self.file)


@pytest.fixture(name="clock")
def fixture_clock(tmp_path):
    folder = tmp_path / "clock"
    folder.mkdir()
    return Clock(str(folder))


@pytest.fixture(name="wrong")
def fixture_wrong(own_mesh, clock):
    """A mesh, and how to start workloads whose proxies have that clock."""
    def start(kind, *arguments, **options):
        own_mesh.environment["APUS_PROXY"] = clock.program
        try:
            return getattr(own_mesh, kind)(*arguments, **options)
        finally:
            del own_mesh.environment["APUS_PROXY"]
    return own_mesh, start


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_clock_within_the_allowance_changes_nothing(wrong, clock, seconds):
    mesh, start = wrong
    clock.set(seconds)
    client, server = start("client"), mesh.quick_server("plain")
    ahead = start("quick_server", "ahead")
    mesh.meshed(server, ahead)
    for _ in range(10):
        assert client.get("http://plain/").status == 200 and client.get("http://ahead/").status == 200
    other = mesh.client("other")
    assert other.get("http://ahead/").status == 200


def test_a_clock_beyond_the_allowance_is_named_and_heals(wrong, clock):
    mesh, start = wrong
    client = start("client")
    clock.set(-1200)
    server = mesh.quick_server()
    mesh.meshed(server)
    # The proxy looks at the time of day once a second.
    mesh.pause(1.5)
    answer = client.get("http://server/")
    assert answer.status == 503 and answer.reason == "tls_certificate_not_yet_valid", answer
    told = mesh.cli("why", "--from", "client", "--to", "server", check=False).stdout
    assert "clock" in told, told
    clock.set(0)
    raw.eventually(lambda: client.get("http://server/").status == 200)


@pytest.mark.parametrize("days, control_plane", [(2, "slept as well"), (200, "was started anew")])
def test_after_two_days_asleep_everything_heals_by_itself(own_mesh, clock, days, control_plane):
    """A machine that was suspended: certificates and join tokens have ended, and no timer has run; after two hundred days the
    authority's own certificate is past half of its life. Then everything is made anew."""
    mesh = own_mesh
    mesh.control_plane.stop()
    mesh.environment.update(clock.environment)
    mesh.start()
    server, client = mesh.quick_server(), mesh.client()
    mesh.meshed(server)
    assert client.get("http://server/").status == 200
    port = certificate_port(client, server)
    before = certificate_serial(port)
    if control_plane == "was started anew":
        mesh.kill_control_plane()
    intermediate = os.path.join(mesh.data, "ca", "intermediate-cert.pem")
    with open(intermediate) as file:
        signed_by = file.read()
    clock.set(days * 86_400)
    if control_plane == "was started anew":
        mesh.start()
    raw.eventually(lambda: certificate_serial(port) != before, 90)
    late = mesh.client("late")
    raw.eventually(lambda: late.get("http://server/").status == 200)
    raw.eventually(lambda: {proxy["status"] for proxy in mesh.proxies().values()} == {"SYNCED"}, 90)
    assert client.get("http://server/").status == 200
    with open(intermediate) as file:
        assert (file.read() != signed_by) == (days > 183)


def test_a_control_plane_that_stands_still_stops_no_traffic(own_mesh):
    mesh = own_mesh
    server, client = mesh.quick_server(), mesh.client()
    mesh.meshed(server)
    with client.load("http://server/", connections=8) as load, \
            client.load("http://server/", connections=2, header="Connection: close") as reopening:
        mesh.control_plane.send(signal.SIGSTOP)
        mesh.pause(5)
        mesh.control_plane.send(signal.SIGCONT)
        mesh.settle()
        mesh.pause(1)
    load.assert_all_answered(at_least=500)
    reopening.assert_all_answered(at_least=50)


def test_a_black_hole_is_left_alone(static):
    """An endpoint whose process stands still takes connections and never answers: those that meet it are retried within
    their time, it is ejected, and the rest go elsewhere."""
    good, hole = static.server("good"), static.server("hole")
    policy = {"balancer": "roundRobin",
              "retry": {"attempts": 2, "perTryMilliseconds": 500, "backoffMilliseconds": 1},
              "outlier": {"consecutive5xx": 3, "consecutiveLocalFailures": 3, "baseEjectionMilliseconds": 60000,
                          "maxEjectionPercent": 50}}
    proxy = static.proxy([good, hole], policy)
    assert {proxy.get().header("x-server") for _ in range(4)} == {"good", "hole"}
    hole.program.send(signal.SIGSTOP)
    try:
        result = proxy.load(connections=8, requests=400)
        assert result["failed"] == 0 and result["statuses"] == {"200": 400}, result
        assert "apus_ejections_total 1" in proxy.admin("/metrics")
        assert {proxy.get().header("x-server") for _ in range(20)} == {"good"}
    finally:
        hole.program.send(signal.SIGCONT)


class ClosesOnSecond:
    """Answers the first request of a connection, and closes it when the second arrives, which it may have read."""

    def __init__(self, reads):
        self.requests, self.reads = [], reads
        self.server = Scripted(self.serve)
        self.port, self.name = self.server.port, "closing"

    def serve(self, connection):
        head = read_head(connection)
        self.requests.append(head.split(b"\r\n")[0])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        if self.reads:
            self.requests.append(read_head(connection).split(b"\r\n")[0])
        else:
            # It closes at the moment that the next request is on its way: what comes then is answered with a reset.
            connection.shutdown(socket.SHUT_RD)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def workload(self, **more):
        return {"uid": self.name, "namespace": "default", "name": self.name, "address": "127.0.0.1", "app": "server",
                "services": ["default/server"],
                "ports": [{"appPort": self.port, "appProtocol": "http", "name": "http"}], **more}


def test_what_may_have_been_read_is_sent_again_only_where_that_harms_nobody(static):
    """A server reads the second request of a connection and goes away. GET is made again within its retries, POST is not."""
    closing = ClosesOnSecond(reads=True)
    proxy = static.proxy([closing], {"retry": {"attempts": 2, "backoffMilliseconds": 1}})
    assert [proxy.get(f"/{number}").status for number in range(4)] == [200] * 4
    posts = [proxy.get(f"/post-{number}", method="POST", body=b"once").status for number in range(6)]
    seen = [line.split()[1].decode() for line in closing.requests]
    assert all(seen.count(f"/post-{number}") == 1 for number in range(6)), (posts, seen)
    assert set(posts) <= {200, 502, 503} and 200 in posts and {502, 503} & set(posts), posts
    closing.server.close()


def test_connections_that_servers_close_while_idle_cost_nobody_a_request(static):
    """A server that closes each connection right after its answer, without having said so."""
    closing = ClosesOnSecond(reads=False)
    proxy = static.proxy([closing], {"retry": {"attempts": 0}})
    for number in range(200):
        method = ("GET", "POST")[number % 2]
        answer = proxy.get(f"/{number}", method=method, body=b"x" if method == "POST" else b"")
        assert answer.status == 200, (number, answer)
    assert len(closing.requests) == 200
    closing.server.close()


def metric(proxy, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in proxy.admin("/metrics").splitlines()
               if line.split("{")[0].split(" ")[0] == name)


def descriptors(proxy):
    return len(os.listdir(f"/proc/{proxy.program.pid}/fd"))


def nothing_is_left(proxy, before):
    def quiet():
        for name in ("apus_requests_active", "apus_downstream_connections_active"):
            assert metric(proxy, name) == 0, name
        # Connections that are kept for the next request are no leak. The scrape's own is among the rest.
        kept = metric(proxy, "apus_upstream_connections_idle")
        assert descriptors(proxy) - kept <= before + 2, (descriptors(proxy), kept)
        return True
    raw.eventually(quiet)


REQUEST = (b"POST /hash HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"5\r\nhello\r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\n"
           b"GET /bytes/300000 HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("end", ["reset", "both directions shut", "half closed"])
def test_connections_that_end_in_any_state_leave_nothing(static, end):
    """After each byte of two pipelined requests the client goes: by a reset, by FIN after shutting both directions, or by
    half a FIN, after which it reads to the end. Then nothing is open, and everybody else is served."""
    proxy = static.proxy([static.server()])
    assert proxy.get().status == 200
    before = descriptors(proxy)
    for length in range(len(REQUEST) + 1):
        with raw.Connection(proxy.port) as connection:
            connection.send(REQUEST[:length])
            if end == "reset":
                connection.reset()
            elif end == "half closed":
                connection.socket.shutdown(socket.SHUT_WR)
                answer = connection.rest()
                assert length < len(REQUEST) or answer.count(b"HTTP/1.1 200 ") == 2 and len(answer) > 300_000
            else:
                connection.socket.shutdown(socket.SHUT_RDWR)
    nothing_is_left(proxy, before)
    assert proxy.get().status == 200


def test_answers_cut_anywhere_leave_nothing(static):
    """The same at the other end: a server that resets its connection after each byte of its answer."""
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    turn = iter(range(len(whole) + 1))

    def serve(connection):
        read_head(connection)
        connection.sendall(whole[:next(turn)])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    scripted = Scripted(serve)
    server = ClosesOnSecond.__new__(ClosesOnSecond)
    server.port, server.name = scripted.port, "cutting"
    proxy = static.proxy([server], {"retry": {"attempts": 0}, "outlier": {"consecutive5xx": 0,
                                                                          "consecutiveLocalFailures": 0}})
    before = descriptors(proxy)
    complete = 0
    for _ in range(len(whole) + 1):
        try:
            answer = proxy.get()
            complete += answer.status == 200
            assert answer.status in (200, 502, 503) and (answer.status != 200 or answer.body == b"abc"), answer
        except EOFError:
            pass
    assert complete >= 1
    nothing_is_left(proxy, before)
    scripted.close()


def test_mixed_load_leaves_memory_and_descriptors_as_they_were(static):
    """Rounds of everything at once: short and long answers, bodies, HTTP/2, clients that leave, requests that are refused.
    After the first rounds nothing grows any more."""
    proxy = static.proxy([static.server("one"), static.server("two")], {"retry": {"attempts": 1}})

    def leave():
        for number in range(60):
            with raw.Connection(proxy.port) as connection:
                connection.request("GET", f"/delay/{1000 + number}")
                connection.reset()

    def refuse():
        for number in range(60):
            with raw.Connection(proxy.port) as connection:
                connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-%d: 1\r\n\r\n" % number)
                assert connection.response().status == 400

    def streams():
        with http2.Client(proxy.port) as client:
            for _ in range(60):
                assert client.fetch().status == 200

    def round_of_all():
        threads = [threading.Thread(target=work) for work in (leave, refuse, streams)]
        for thread in threads:
            thread.start()
        for path, options in (("/", {"requests": 2000}), ("/bytes/100000", {"requests": 200}), ("/status/503", {"requests": 200}),
                              ("/", {"requests": 300, "header": "Connection: close"})):
            assert proxy.load(path, connections=8, **options)["failed"] == 0
        for thread in threads:
            thread.join()
        nothing_is_left(proxy, before)
        return processes.resident_bytes(proxy.program.pid)
    before = descriptors(proxy)
    for _ in range(2):
        round_of_all()
    rounds = [round_of_all() for _ in range(4)]
    assert rounds[-1] - rounds[0] < 2 << 20, rounds


def processor_seconds(pid):
    """What the process has used of the processors; a slow machine changes nothing about it."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def test_without_descriptors_it_waits_without_spinning_and_heals(static):
    proxy = static.proxy([static.server()])
    assert proxy.get().status == 200
    with raw.Connection(proxy.port) as inside:
        inside.request("GET", "/")
        assert inside.response().status == 200
        pid = proxy.program.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(proxy), 4096))
        # These are in the kernel's queue, which the proxy is told about as long as they are.
        waiting = [raw.Connection(proxy.port) for _ in range(20)]
        for connection in waiting:
            connection.request("GET", "/")
        time.sleep(0.3)
        before = processor_seconds(pid)
        time.sleep(1)
        assert processor_seconds(pid) - before < 0.3, "the proxy spins"
        # Who is in is served.
        inside.request("GET", "/")
        assert inside.response().status == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
        for connection in waiting:
            assert connection.response().status == 200
            connection.socket.close()
    assert proxy.get().status == 200
