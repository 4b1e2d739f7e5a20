"""Tunnels by HBONE (mutual TLS, HTTP/2, CONNECT) with Envoy at the other end, in both directions, and by hand."""

import json
import os
import socket
import ssl
import sys
import threading

import pytest

from support import envoy, http2, raw
from support.certificates import Authority, spiffe
from support.processes import APPS, Program, free_port
from support.sidecars import Pair, Sidecar, snapshot, workload

HELLO = b"hello through the tunnel\n"


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    port, folder = free_port(), tmp_path_factory.mktemp("echo")
    program = Program([sys.executable, os.path.join(APPS, "tcp_echo.py"), str(folder / "env")], str(folder / "log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    yield port
    program.stop()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def pair(tmp_path, authority, echo):
    with Pair(tmp_path, echo, "tcp", authority=authority) as found:
        yield found


def closed(pair, **labels):
    """Tunnels that have ended at the server's sidecar."""
    return pair.server.metric("istio_tcp_connections_closed_total", **labels)


def echoes(port, data=HELLO, seconds=10.0):
    """What comes back of the bytes, without the application's farewell, which must be right if there is one."""
    try:
        with raw.Connection(port, seconds) as connection:
            def send():
                try:
                    connection.send(data)
                    connection.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            sender = threading.Thread(target=send)
            sender.start()
            try:
                found = connection.rest()
            finally:
                sender.join()
    except (TimeoutError, ConnectionResetError):
        # A client whose tunnel is refused is reset, at times before it has noticed that it is connected.
        found = b""
    farewell = b"bye %d\n" % len(data)
    return found.removesuffix(farewell) if found.endswith(farewell) else b""


def test_between_two_sidecars(pair):
    before = closed(pair, source_principal=spiffe("client"))
    assert echoes(pair.port) == HELLO
    large = bytes(range(256)) * 40000
    assert echoes(pair.port, large, 30) == large
    raw.eventually(lambda: closed(pair, source_principal=spiffe("client")) >= before + 2)


def test_many_connections_share_few(pair):
    """40 tunnels at once ride on a connection or two between the proxies, and each gets its own bytes."""
    clients = [raw.Connection(pair.port) for _ in range(40)]
    for number, client in enumerate(clients):
        client.send(b"%d\n" % number)
    for number, client in enumerate(clients):
        assert client._until(b"\n") == b"%d" % number
    state = f":{pair.inbound_port:04X} "
    with open("/proc/net/tcp") as file:
        established = [line for line in file if line.split()[2].endswith(state.strip()) and line.split()[3] == "01"]
    assert 1 <= len(established) <= 4, established
    for client in clients:
        client.socket.close()


def test_envoy_into_apus(tmp_path, authority, pair, echo):
    leaf = authority.leaf("envoy")
    with envoy.Envoy(tmp_path, "envoy", envoy.tunnel(hostname=f"127.0.0.1:{echo}"), [
            envoy.cluster(pair.inbound_port, leaf, spiffe("server"), http2=True)]) as peer:
        assert echoes(peer.port) == HELLO
        large = bytes(range(256)) * 20000
        assert echoes(peer.port, large, 30) == large
    raw.eventually(lambda: closed(pair, source_principal=leaf.identity) >= 2)


def test_envoy_refuses_apus_under_another_name(tmp_path, authority, pair, echo):
    with envoy.Envoy(tmp_path, "envoy", envoy.tunnel(hostname=f"127.0.0.1:{echo}"), [
            envoy.cluster(pair.inbound_port, authority.leaf("envoy"), spiffe("somebody"), http2=True)]) as peer:
        assert echoes(peer.port) == b""


@pytest.mark.parametrize("stranger", ["unknown root", "other trust domain"])
def test_apus_refuses_envoy(tmp_path, authority, pair, echo, stranger):
    if stranger == "unknown root":
        leaf = Authority(tmp_path / "strangers").leaf("envoy")
        leaf.root = authority.root
    else:
        leaf = authority.leaf("envoy", spiffe("envoy", trust_domain="elsewhere.example"))
    with envoy.Envoy(tmp_path, "envoy", envoy.tunnel(hostname=f"127.0.0.1:{echo}"), [
            envoy.cluster(pair.inbound_port, leaf, spiffe("server"), http2=True)]) as peer:
        assert echoes(peer.port) == b""
    raw.eventually(lambda: pair.server.metric("apus_tls_handshake_failures_total") >= 1)


def outbound_to(folder, authority, inbound, echo, identity):
    """A client's sidecar whose service has one endpoint with this identity behind that port."""
    listen = free_port()
    return Sidecar(folder, "client", snapshot(
        "client", [{"name": "out", "kind": "outbound", "address": f"127.0.0.1:{listen}", "service": "default/server",
                    "port": 80, "appProtocol": "tcp"}],
        echo, "tcp", [workload(echo, "tcp", identity, inbound)], authority.leaf("client")), listen)


def terminating(folder, authority, echo, log, peer=None):
    return envoy.Envoy(folder, "terminating", envoy.connections([envoy.CONNECT_ROUTE], log), [envoy.cluster(echo)],
                       tls=envoy.downstream(authority.leaf("envoy"), peer or spiffe("client")))


def test_apus_into_envoy(tmp_path, authority, echo):
    log = str(tmp_path / "access.log")
    with terminating(tmp_path, authority, echo, log) as peer:
        sidecar = outbound_to(tmp_path, authority, peer.port, echo, spiffe("envoy"))
        try:
            assert echoes(sidecar.port) == HELLO
            large = bytes(range(256)) * 20000
            assert echoes(sidecar.port, large, 30) == large
        finally:
            sidecar.stop()

        def lines():
            with open(log) as file:
                return [json.loads(line) for line in file]
        raw.eventually(lambda: len(lines()) == 2)
    for line in lines():
        assert line["method"] == "CONNECT" and line["authority"] == f"127.0.0.1:{echo}", line
        assert line["peer"] == spiffe("client") and line["status"] in (200, "200"), line
        assert "k8s.namespace.name=default" in line["baggage"] and "for=" in line["forwarded"], line
        version, trace, parent, _ = line["traceparent"].split("-")
        assert (version, len(trace), len(parent)) == ("00", 32, 16), line


def test_apus_refuses_envoy_under_another_name(tmp_path, authority, echo):
    with terminating(tmp_path, authority, echo, str(tmp_path / "access.log")) as peer:
        sidecar = outbound_to(tmp_path, authority, peer.port, echo, spiffe("somebody"))
        try:
            assert echoes(sidecar.port) == b""
        finally:
            sidecar.stop()


def test_envoy_refuses_apus_whose_name_it_does_not_want(tmp_path, authority, echo):
    with terminating(tmp_path, authority, echo, str(tmp_path / "access.log"), peer=spiffe("others")) as peer:
        sidecar = outbound_to(tmp_path, authority, peer.port, echo, spiffe("envoy"))
        try:
            assert echoes(sidecar.port) == b""
        finally:
            sidecar.stop()


# By hand: what an inbound port says to CONNECT.

def tunnel_client(pair, authority, account="tester"):
    context = authority.leaf(account).context()
    return http2.Client(pair.inbound_port, wrap=lambda sock: context.wrap_socket(sock, server_hostname="server"))


def connect(client, target):
    stream = client.stream()
    client.send(http2.headers(stream, [(":method", "CONNECT"), (":authority", target)], end=False))
    return stream


def test_connect_by_hand(pair, authority, echo):
    with tunnel_client(pair, authority) as client:
        stream = connect(client, f"127.0.0.1:{echo}")
        assert client.head(stream).status == 200
        client.send(http2.data(stream, b"one "), http2.data(stream, b"two", end=True))
        answer = client.answer(stream)
        assert (answer.body, answer.ended) == (b"one twobye 7\n", True), answer


@pytest.mark.parametrize("target", ["127.0.0.1:1", "169.254.169.254:80", "localhost:22", "server:80", "10.0.0.1:{echo}",
                                    "[::1]:{echo}", "127.0.0.1", "127.0.0.1:{echo}9", ":{echo}", "user@127.0.0.1:{echo}",
                                    "127.0.0.1:{echo}/path"])
def test_connect_to_what_is_not_ours(pair, authority, echo, target):
    with tunnel_client(pair, authority) as client:
        answer = client.answer(connect(client, target.replace("{echo}", str(echo))))
        assert answer.reset is not None or 400 <= answer.status < 500, answer
        # The connection and its other streams go on.
        stream = connect(client, f"127.0.0.1:{echo}")
        assert client.head(stream).status == 200
        client.send(http2.data(stream, b"still", end=True))
        assert client.answer(stream).body == b"stillbye 5\n"


def test_a_reset_tunnel_closes_its_connection_and_no_other(pair, authority, echo):
    with tunnel_client(pair, authority, "resetting") as client:
        first, second = connect(client, f"127.0.0.1:{echo}"), connect(client, f"127.0.0.1:{echo}")
        assert client.head(first).status == client.head(second).status == 200
        client.send(http2.reset(first), http2.data(second, b"alive", end=True))
        assert client.answer(second).body == b"alivebye 5\n"
    raw.eventually(lambda: closed(pair, source_principal=spiffe("resetting")) == 2)


def test_the_end_of_the_application_is_the_end_of_the_tunnel(pair, authority, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as application:
        port = application.getsockname()[1]
        with Pair(tmp_path / "other", port, "tcp", authority=authority) as other, tunnel_client(other, authority) as client:
            stream = connect(client, f"127.0.0.1:{port}")
            accepted, _ = application.accept()
            accepted.sendall(b"bye")
            accepted.close()
            answer = client.answer(stream)
            assert answer.body == b"bye" and (answer.ended or answer.reset is not None), answer


def test_malformed_baggage_and_traceparent_are_ignored(pair, authority, echo):
    for fields in ([("baggage", "=,;;=,," * 100)], [("traceparent", "zz-1-2-3")], [("forwarded", "for=\"")],
                   [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"), ("baggage", "\xff\xfe")]):
        with tunnel_client(pair, authority) as client:
            stream = client.stream()
            client.send(http2.headers(stream, [(":method", "CONNECT"), (":authority", f"127.0.0.1:{echo}"), *fields],
                                      end=False))
            assert client.head(stream).status == 200


@pytest.fixture
def tunnels(tmp_path, authority, echo):
    """A workload's proxy with a listener that is for tunnels to any of its ports (`--hbone`), beside the port's own."""
    own, port = free_port(), free_port()
    listeners = [{"name": name, "kind": "inbound", "address": f"127.0.0.1:{number}", "port": target, "mutualTLS": "strict",
                  "appProtocol": "tcp" if target else "unspecified"}
                 for name, number, target in (("in", own, echo), ("hbone", port, 0))]
    sidecar = Sidecar(tmp_path, "server", snapshot(
        "server", listeners, echo, "tcp", [workload(echo, "tcp")], authority.leaf("server")), port)
    sidecar.inbound_port = port
    yield sidecar
    sidecar.stop()


def test_a_listener_for_tunnels_alone(tunnels, authority, echo):
    with tunnel_client(tunnels, authority) as client:
        stream = connect(client, f"127.0.0.1:{echo}")
        assert client.head(stream).status == 200
        client.send(http2.data(stream, b"hello", end=True))
        assert client.answer(stream).body == b"hellobye 5\n"
        assert client.answer(connect(client, "127.0.0.1:1")).status == 403
        # No service is behind it: a request has nowhere to go.
        assert client.fetch("/").status == 404
        stream = connect(client, f"127.0.0.1:{echo}")
        assert client.head(stream).status == 200
    # Nor have bytes without a CONNECT.
    context = authority.leaf("plain").context(alpn=("apus-tcp",))
    with raw.Connection(tunnels.port, wrap=context.wrap_socket) as client:
        try:
            client.send(HELLO)
            assert client.rest() == b""
        except (ConnectionResetError, ssl.SSLError):
            pass


# Peers that speak mutual TLS and none of this: older proxies, programs of somebody's own.

@pytest.mark.parametrize("alpn", [("apus-tcp",), None], ids=["by ALPN", "without ALPN"])
def test_bytes_of_a_peer_that_makes_no_tunnels(pair, authority, echo, alpn):
    context = authority.leaf("plain").context(alpn=alpn)
    with raw.Connection(pair.inbound_port, wrap=context.wrap_socket) as client:
        client.send(HELLO)
        assert client._exactly(len(HELLO)) == HELLO
    raw.eventually(lambda: closed(pair, source_principal=spiffe("plain")) == 1)


class PlainPeer:
    """A workload that ends mutual TLS itself: sends back what it gets, or answers one request."""

    def __init__(self, leaf, alpn, answer=None):
        self.context, self.answer, self.callers = leaf.context(server=True, alpn=alpn), answer, []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                accepted, _ = self.listening.accept()
                accepted.settimeout(20)
                with self.context.wrap_socket(accepted, server_side=True) as tls:
                    self.callers.append(dict(tls.getpeercert()["subjectAltName"])["URI"])
                    while piece := tls.recv(65536):
                        tls.sendall(self.answer or piece)
            except ssl.SSLError:
                continue
            except OSError:
                return


@pytest.mark.parametrize("alpn", [("apus-tcp",), None], ids=["by ALPN", "without ALPN"])
def test_bytes_for_a_peer_that_takes_no_tunnels(tmp_path, authority, echo, alpn):
    peer = PlainPeer(authority.leaf("plain"), alpn)
    sidecar = outbound_to(tmp_path, authority, peer.port, echo, spiffe("plain"))
    try:
        for _ in range(2):
            with raw.Connection(sidecar.port) as client:
                client.send(HELLO)
                assert client._exactly(len(HELLO)) == HELLO
        assert set(peer.callers) == {spiffe("client")}
    finally:
        sidecar.stop()
        peer.listening.close()


@pytest.mark.parametrize("alpn", [("apus-http/1.1",), None], ids=["by ALPN", "without ALPN"])
def test_requests_for_a_peer_that_speaks_http_1(tmp_path, authority, echo, alpn):
    peer = PlainPeer(authority.leaf("plain"), alpn, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    listen = free_port()
    sidecar = Sidecar(tmp_path, "client", snapshot(
        "client", [{"name": "out", "kind": "outbound", "address": f"127.0.0.1:{listen}", "service": "default/server",
                    "port": 80, "appProtocol": "http"}],
        echo, "http", [workload(echo, "http", spiffe("plain"), peer.port)], authority.leaf("client")), listen)
    try:
        for _ in range(3):
            answer = raw.get(sidecar.port, "/")
            assert (answer.status, answer.body) == (200, b"ok"), answer
        assert set(peer.callers) == {spiffe("client")}
    finally:
        sidecar.stop()
        peer.listening.close()


# CONNECT of an application, on HTTP/2, to a service whose connections go by server name.

@pytest.fixture
def by_name(tmp_path, echo):
    """A sidecar that takes CONNECT; connections to `server:80` go to the application if they ask for `a.test`."""
    listen = free_port()
    route = {"route": "default/a", "serverNames": ["a.test"],
             "backends": [{"namespace": "default", "service": "server", "port": 80, "weight": 1}]}
    sidecar = Sidecar(tmp_path, "client", snapshot(
        "client", [{"name": "out", "kind": "forward", "address": f"127.0.0.1:{listen}"}], echo, "tls",
        [workload(echo, "tls")], streamRoutes=[route]), listen)
    yield sidecar
    sidecar.stop()


def client_hello(name):
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("size", [100_000, 50, 1])
def test_connect_on_http_2_goes_by_server_name(by_name, size):
    with http2.Client(by_name.port) as client:
        for name in ("a.test", "b.test"):
            stream, hello = client.stream(), client_hello(name)
            client.send(http2.headers(stream, [(":method", "CONNECT"), (":authority", "server:80")], end=False))
            assert client.head(stream).status == 200
            for at in range(0, len(hello), size):
                client.send(http2.data(stream, hello[at:at + size]))
            if name == "b.test":
                # No route has this name, and nothing of it reaches an endpoint.
                assert client.answer(stream).reset is not None and client.answers[stream].body == b""
                continue
            while len(client.answers[stream].body) < len(hello):
                client.frame()
            client.send(http2.data(stream, b"more", end=True))
            assert client.answer(stream).body == hello + b"more" + b"bye %d\n" % (len(hello) + 4)


def test_what_is_no_tls_goes_nowhere_by_server_name(by_name):
    with http2.Client(by_name.port) as client:
        for body, end in ((b"GET / HTTP/1.1\r\n\r\n", False), (b"", True), (client_hello("a.test")[:40], True)):
            stream = client.stream()
            client.send(http2.headers(stream, [(":method", "CONNECT"), (":authority", "server:80")], end=False))
            client.send(http2.data(stream, body, end=end))
            answer = client.answer(stream)
            assert answer.reset is not None and answer.body == b"", answer
