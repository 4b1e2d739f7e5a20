"""Ports whose protocol nobody has declared: who speaks first decides, nothing waits for long, and it is learned."""

import glob
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import time

import pytest

from support import http2, interop, raw
from support.http2 import data
from support.mesh import backend, route
from support.processes import APPS, Program, free_port
from support.sidecars import Pair

# Connections that were held for the moment of detection.
WAITS = "apus_detection_waits_total"


class Application(Program):
    def __init__(self, folder, *command):
        self.number = free_port()
        super().__init__([word.replace("{port}", str(self.number)) for word in command],
                         os.path.join(str(folder), "application.log"), {**os.environ, "PORT": str(self.number)})
        raw.eventually(lambda: raw.Connection(self.number).socket.close() is None, 30)


@pytest.fixture
def start(tmp_path):
    """Starts an application and a pair of sidecars to which nobody has told what it speaks."""
    started = []

    def begin(*command):
        application = Application(tmp_path, *command)
        started.append(application)
        pair = Pair(tmp_path / str(len(started)), application.number, "unspecified")
        started.append(pair)
        pair.application = application
        return pair
    yield begin
    for one in reversed(started):
        one.stop()


def first_byte(port, expected):
    """Seconds until a server that speaks first has been heard."""
    begin = time.monotonic()
    with raw.Connection(port) as connection:
        assert connection._exactly(len(expected)) == expected
        return time.monotonic() - begin


@pytest.mark.parametrize("kind", ["smtp", "mysql"])
def test_servers_that_speak_first(start, kind):
    pair = start(sys.executable, os.path.join(APPS, "greeter.py"), kind)
    with raw.Connection(pair.application.number) as direct:
        expected = direct._exactly(24)
    first = first_byte(pair.port, expected)
    # A moment (60 ms) is waited for, once and at one of the two; how long that is to the nanosecond, the simulation says
    # (`silence`). A busy machine may add to it, but nothing like the ten seconds of other meshes.
    assert first < 2, first
    assert (pair.client.metric(WAITS), pair.server.metric(WAITS)) == (1, 0)
    later = [first_byte(pair.port, expected) for _ in range(10)]
    assert min(later) < 0.05, later
    assert (pair.client.metric(WAITS), pair.server.metric(WAITS)) == (1, 0)
    with raw.Connection(pair.port) as connection:
        assert connection._exactly(len(expected)) == expected
        if kind == "smtp":
            connection.send(b"EHLO client\r\n")
            assert connection._until(b"\r\n") == b"250 EHLO"
            connection.send(b"QUIT\r\n")
            assert connection.rest() == b"221 bye\r\n"


def test_http_1_http_2_and_bytes_on_one_undeclared_port(start):
    """The first bytes decide: requests are requests, with their routes and their counters."""
    pair = start(sys.executable, os.path.join(APPS, "server.py"), "server")
    assert raw.get(pair.port).body == b"server\n"
    with raw.Connection(pair.port) as connection:
        for byte in b"GET / HTTP/1.1\r\nHost: server\r\n\r\n":
            connection.send(bytes((byte,)))
        assert connection.response().body == b"server\n"
    assert pair.client.metric("istio_requests_total", response_code="200") >= 2


def test_grpc_on_an_undeclared_port(start):
    pair = start(sys.executable, os.path.join(APPS, "interop.py"))
    with interop.Stub(pair.port) as stub:
        interop.empty_unary(stub)
        interop.ping_pong(stub)
    assert pair.server.metric("istio_requests_total", request_protocol="grpc", grpc_response_status="0") >= 2


def test_http_2_on_an_undeclared_port(start):
    """The application gets HTTP/1.1: nobody has said that it takes anything else."""
    pair = start(sys.executable, os.path.join(APPS, "server.py"), "server")
    with http2.Client(pair.port) as client:
        assert client.fetch("/").body == b"server\n"
        stream = client.request("/hash", "POST", end=False)
        client.send(data(stream, b"hello", end=True))
        assert b'"length": 5' in client.answer(stream).body
    with raw.Connection(pair.port) as connection:
        for byte in http2.PREFACE + http2.settings():
            connection.send(bytes((byte,)))
        peer = http2.Peer(connection.socket)
        assert peer.frame().type == http2.SETTINGS


def test_what_is_learned_is_shown(shared_mesh):
    """`apus describe` says of a port that nobody declared which proxies have heard its server first."""
    port = free_port()
    server = shared_mesh.run("greeter", sys.executable, os.path.join(APPS, "greeter.py"), "smtp", namespace="learning",
                             protocol="auto", wait=False)
    client = shared_mesh.client(namespace="learning", upstreams={"greeter": port})

    def greeted():
        with raw.Connection(port) as connection:
            return connection._until(b"\r\n") == b"220 mail.example ESMTP"
    raw.eventually(greeted, 15)

    def described():
        return shared_mesh.cli("describe", "greeter", "-n", "learning").stdout
    raw.eventually(lambda: "server speaks first (learned by" in described())
    assert client.uid in described(), described()
    for workload in (client, server):
        shared_mesh.stop_workload(workload)


def hello():
    """The first message of a client of TLS."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="server.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\x12\x34\0\x50"


@pytest.mark.parametrize("first", [hello, lambda: PROXY_2 + hello(), lambda: b"PROXY TCP4 127.0.0.1 127.0.0.1 4660 80\r\nEHLO"],
                         ids=["TLS", "PROXY, version 2", "PROXY, version 1"])
def test_tls_and_proxy_headers_pass_as_they_are(start, tmp_path, first):
    """What they are is told by their first bytes, in one piece or byte by byte, without a wait."""
    pair = start(sys.executable, os.path.join(APPS, "tcp_echo.py"), str(tmp_path / "env"))
    sent = first()
    for size in (len(sent), 1):
        with raw.Connection(pair.port) as connection:
            for at in range(0, len(sent), size):
                connection.send(sent[at:at + size])
            assert connection._exactly(len(sent)) == sent
    assert pair.server.metric("istio_tcp_connections_opened_total") == 2


@pytest.fixture
def guarded(tmp_path):
    """A port that nobody declared, of an application by hand, with a route that looks at requests."""
    with http2.Listener() as listener:
        rule = {"route": "default/only", "matches": [{"path": {"kind": "prefix", "value": "/open"}}],
                "backends": [{"namespace": "default", "service": "server", "port": 80, "weight": 1}]}
        with Pair(tmp_path, listener.port, "unspecified", routes=[rule]) as pair:
            pair.listener = listener
            yield pair


@pytest.mark.parametrize("first", [b"*1\r\n$4\r\nPING\r\n", hello(), PROXY_2, b"\0\0\0\x08\x04\xd2\x16\x2f"],
                         ids=["Redis", "TLS", "PROXY", "PostgreSQL"])
def test_detection_leads_around_no_route(guarded, first):
    """Where a route looks at requests nothing but requests gets through, whatever comes first, and silence is no way either."""
    with raw.Connection(guarded.port) as connection:
        # Far longer than the moment after which an endpoint is asked where no policy is.
        connection.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection._more()
        connection.socket.settimeout(30)
        connection.send(first)
        answer = connection.response()
        assert answer.status == 400 and answer.reason, answer
    answer = raw.get(guarded.port, "/closed")
    assert (answer.status, answer.reason) == (404, "no_route"), answer
    with pytest.raises(TimeoutError):
        guarded.listener.accept(0.05)


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                                     b"\x16\x03\x01\xff\xff", b"\r\n\r\n", b"PRI"])
def test_garbage_on_an_undeclared_port_harms_nobody(start, garbage):
    pair = start(sys.executable, os.path.join(APPS, "server.py"), "server")
    for _ in range(5):
        with raw.Connection(pair.port) as connection:
            connection.send(garbage)
            connection.socket.settimeout(0.05)
            try:
                connection._more()
            except TimeoutError:
                pass
    assert raw.get(pair.port).body == b"server\n"


def begins(pair, command, answer):
    """A client that speaks first is not held, however busy the machine: its bytes are there before its sidecar looks."""
    pair.client.process.send_signal(signal.SIGSTOP)
    with raw.Connection(pair.port) as connection:
        connection.send(command)
        pair.client.process.send_signal(signal.SIGCONT)
        assert connection._exactly(len(answer)) == answer


def test_redis(start, tmp_path):
    pair = start("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
                 str(tmp_path))

    def redis(*words, **options):
        return subprocess.run(["redis-cli", "-p", str(pair.port), *words], capture_output=True, text=True, timeout=30,
                              check=True, **options).stdout
    for _ in range(5):
        begins(pair, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n")
    assert (pair.client.metric(WAITS), pair.server.metric(WAITS)) == (0, 0)
    assert redis("set", "key", "value") == "OK\n"
    assert redis("get", "key") == "value\n"
    assert redis("--pipe", input="".join(f"SET k{n} {n}\r\n" for n in range(2000))).endswith("replies: 2000\n")
    assert redis("get", "k1999") == "1999\n"
    with raw.Connection(pair.port) as subscriber:
        subscriber.send(b"SUBSCRIBE news\r\n")
        subscriber._until(b":1\r\n")
        assert redis("publish", "news", "hello") == "1\n"
        assert b"hello" in subscriber._until(b"hello\r\n") + b"hello"


def test_memcached(start):
    pair = start(*as_user("memcache"), "memcached", "-p", "{port}", "-l", "127.0.0.1", "-U", "0")
    value = os.urandom(200_000)
    with raw.Connection(pair.port) as connection:
        connection.send(b"set key 0 0 200000\r\n" + value + b"\r\n")
        assert connection._until(b"\r\n") == b"STORED"
        connection.send(b"get key\r\n")
        assert connection._until(b"\r\n") == b"VALUE key 0 200000"
        assert connection._exactly(200_000) == value
        assert connection._until(b"END\r\n") == b"\r\n"


def as_user(name, folder=None):
    """What goes before a command that refuses to be run by root; the folder becomes that user's."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam(name)
    if folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        for path in folder.parents:
            if str(path) != "/" and os.stat(path).st_uid == 0 and not os.stat(path).st_mode & 1:
                os.chmod(path, os.stat(path).st_mode | 0o11)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL server of the test's own."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert programs, "PostgreSQL is not installed: run Scripts/setup-peers tests"
    folder = tmp_path / "data"
    folder.mkdir()
    prefix = as_user("postgres", folder)
    subprocess.run([*prefix, f"{programs[-1]}/initdb", "-D", str(folder), "-A", "trust", "-U", "tester", "--no-sync"],
                   check=True, capture_output=True, cwd="/")
    yield [*prefix, f"{programs[-1]}/postgres", "-D", str(folder), "-p", "{port}", "-h", "127.0.0.1", "-k", "", "-F"]
    shutil.rmtree(folder, ignore_errors=True)


def test_postgresql(start, postgres):
    pair = start(*postgres)

    def psql(statement):
        return subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(pair.port), "-U", "tester", "-d", "postgres", "-At", "-c", statement],
            capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PGSSLMODE": "prefer"}).stdout
    # The request for encryption, with which clients begin, and "no".
    for _ in range(5):
        begins(pair, b"\0\0\0\x08\x04\xd2\x16\x2f", b"N")
    assert (pair.client.metric(WAITS), pair.server.metric(WAITS)) == (0, 0)
    raw.eventually(lambda: psql("select 1") == "1\n", 20)
    psql("create table numbers as select generate_series(1, 20000) as n")
    assert psql("select count(*), sum(n) from numbers") == "20000|200010000\n"
    assert len(psql("select n, repeat('x', 100) from numbers").splitlines()) == 20000


@pytest.fixture
def mariadb(tmp_path):
    """A MariaDB server of the test's own, whose root needs no password."""
    folder = tmp_path / "data"
    folder.mkdir()
    prefix = as_user("mysql", folder)
    subprocess.run([*prefix, "mariadb-install-db", "--no-defaults", f"--datadir={folder}", f"--tmpdir={folder}",
                    "--skip-test-db", "--auth-root-authentication-method=normal"], check=True, capture_output=True, cwd="/", timeout=60)
    yield [*prefix, shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={folder}",
           f"--tmpdir={folder}", "--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
           "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M"]
    shutil.rmtree(folder, ignore_errors=True)


def test_mariadb(start, mariadb):
    """A real server that speaks first."""
    pair = start(*mariadb)

    def query(statement):
        return subprocess.run(
            ["mariadb", "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", str(pair.port), "-u", "root", "-BN",
             "-e", statement], capture_output=True, text=True, timeout=60, check=True).stdout
    raw.eventually(lambda: query("select 1") == "1\n", 20)
    assert query("create database numbers; use numbers; create table n as select seq as n from seq_1_to_20000;"
                 "select count(*), sum(n) from n") == "20000\t200010000\n"
    assert len(query("select n, repeat('x', 100) from numbers.n").splitlines()) == 20000


def connect(client, target):
    """A tunnel through a workload's forward proxy."""
    connection = raw.Connection(client.forward_port, 60)
    connection.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert connection.response("CONNECT").status == 200
    return connection


def echoes(connection):
    connection.send(b"hello")
    return connection._exactly(5) == b"hello"


def test_tunnels_older_than_a_policy_of_requests_end(mesh, namespace):
    """Routes have come for a service: what was a tunnel to it may not stay one. Others stay, and so does what an upgrade
    has made of a request."""
    command = [sys.executable, os.path.join(APPS, "tcp_echo.py"), "{env}"]
    workloads = [mesh.run("echo", *command, protocol="auto", namespace=namespace),
                 mesh.run("plain", *command, protocol="tcp", namespace=namespace),
                 mesh.quick_server("web", namespace=namespace)]
    client = mesh.client(namespace=namespace)
    mesh.meshed(*workloads)
    bytes_, plain, web = (connect(client, f"{name}:80") for name in ("echo", "plain", "web"))
    upgraded = raw.Connection(client.forward_port, 60)
    with bytes_, plain, web, upgraded:
        upgraded.request("GET", "http://web/upgrade", [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], host="web")
        assert upgraded.response().status == 101
        web.request("GET", "/", host="web")
        assert web.response().status == 200
        assert echoes(bytes_) and echoes(plain) and echoes(upgraded)
        mesh.apply(*(route(name, {"backendRefs": [backend(name)]}, namespace=namespace) for name in ("echo", "web")),
                   namespace=namespace)
        for tunnel in (bytes_, web):
            with pytest.raises((ConnectionResetError, EOFError)):
                tunnel._exactly(1)
        assert echoes(plain) and echoes(upgraded)
    # From now on CONNECT leads to the routes, and a stream, which cannot, is refused.
    with connect(client, "web:80") as web:
        web.request("GET", "/", host="web")
        assert web.response().body == b"web\n"
    with http2.Client(client.forward_port) as streams:
        stream = streams.stream()
        streams.send(http2.headers(stream, [(":method", "CONNECT"), (":authority", "web:80")], end=False))
        answer = streams.answer(stream)
        assert (answer.status, answer.reason) == (403, "connect_target_forbidden"), answer
    # Nothing of them is left.
    def left(workload):
        found = json.loads(workload.admin("/connections").body)["workers"]
        return sum(worker["exchanges"] for worker in found)
    raw.eventually(lambda: [left(workload) for workload in (client, *workloads)] == [0] * 4, 10)
    assert sum(worker["downstream"] for worker in json.loads(client.admin("/connections").body)["workers"]) == 0
