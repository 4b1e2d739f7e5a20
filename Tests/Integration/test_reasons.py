"""Each reason of docs/reasons.md is provoked for real, and `why` names the object that decided."""

import os
import re
import resource
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from conftest import run_mesh
from support import http2, processes, raw
from support.certificates import Authority
from support.leaves import Leaves, plain_context
from support.mesh import backend, policy, route
from support.processes import TOP, free_port
from support.records import HANDSHAKE, HELLO_REQUEST, Sealer
from support.scripted import Deaf, Scripted, endless_head, knows_no_http2, refuses_streams

SPACE = "reasons"
GROUP = "gateway.networking.k8s.io"


def service(name, app="server", protocol="http"):
    """A Service of its own over the one server, so that each case has its own policies and routes."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SPACE},
            "spec": {"selector": {"app": app},
                     "ports": [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": protocol}]}}


def outside(name, port, address="127.0.0.1", protocol="http"):
    """A Service whose one endpoint is outside the mesh."""
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SPACE},
             "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port, "appProtocol": protocol}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": name, "namespace": SPACE, "labels": {"kubernetes.io/service-name": name}},
             "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"name": "http", "port": port}]}]


def of(target, **spec):
    """A policy for a service, under a name that is not the service's."""
    found = policy(target, SPACE, **spec)
    found["metadata"]["name"] = f"policy-of-{target}"
    return found


def routed(target, *rules, name=None):
    return route(target, *rules, name=name or f"route-of-{target}", namespace=SPACE)


def with_tls(name, port, authority):
    """The same, by TLS, under the name `server.test`."""
    own = {"name": name, "namespace": SPACE}
    return [*outside(name, port),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": {"ca.crt": open(authority.root).read()}},
            {"apiVersion": f"{GROUP}/v1", "kind": "BackendTLSPolicy", "metadata": own,
             "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": name}], "validation": {
                 "hostname": "server.test", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": name}]}}}]


def secured(leaf):
    """Handshakes as a server with this certificate; that is all."""
    context = leaf.context(server=True, alpn=("h2", "http/1.1"))
    context.verify_mode = ssl.CERT_NONE

    def answer(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(100)
    return answer


class World:
    """One server, one client, servers that misbehave, and everything that the cases apply."""

    def __init__(self, mesh, folder):
        self.mesh, self.port = mesh, free_port()
        self.deaf, self.long = Deaf(), Scripted(endless_head)
        self.refusing, self.closed = Scripted(refuses_streams), free_port()
        self.leaves, self.folder, self.authority = Leaves(mesh.data, folder), folder, Authority(folder, "others")
        self.old = Scripted(knows_no_http2)
        self.nameless = Scripted(secured(self.authority.leaf("nameless")))
        self.server = mesh.quick_server(namespace=SPACE)
        self.busy = mesh.quick_server("busy", namespace=SPACE)
        self.client = mesh.client(namespace=SPACE, upstreams={"server": self.port})
        mesh.apply(*self.objects(), namespace=SPACE)
        for name in ("server", "delayed", "timed", "short", "tried"):
            mesh.wait_for(self.client, f"http://{name}/")
        mesh.wait_for(self.client, "http://missing/", status=500)
        self.inbound = self.inbound_port()
        self.slow = [threading.Thread(target=begin, args=(self,), daemon=True) for begin in SLOW.values()]
        for thread in self.slow:
            thread.start()

    def objects(self):
        names = ["unrouted", "missing", "weightless", "ejected", "answered", "moved", "shared", "timed", "tried", "short",
                 "crowded", "broke", "capped", "quota", "faulty", "delayed", "reset"]
        past = [object for name in ("queued", "limited", "storming", "large", "filled") for object in outside(name, self.server.app_port)]
        one = {"attempts": 0}
        return [
            *(service(name) for name in names), service("empty", "nobody"),
            *past, *outside("unreachable", 9, "224.0.0.1"), *outside("closed", self.closed), *outside("deaf", self.deaf.port),
            *with_tls("impostor", self.nameless.port, self.authority), *outside("long", self.long.port), *outside("refusing", self.refusing.port, protocol="kubernetes.io/h2c"),
            *outside("old", self.old.port, protocol="kubernetes.io/h2c"), of("old", retry=one),
            routed("unrouted", {"matches": [{"path": {"value": "/only"}}], "backendRefs": [backend("unrouted")]}),
            routed("missing", {"name": "lost", "backendRefs": [backend("nowhere")]}),
            routed("weightless", {"matches": [{"path": {"value": "/"}}]}),
            routed("answered", {"filters": [{"type": "ExtensionRef", "extensionRef": {
                "group": "apus.dev", "kind": "DirectResponse", "name": "teapot"}}]}),
            {"apiVersion": "apus.dev/v1", "kind": "DirectResponse", "metadata": {"name": "teapot", "namespace": SPACE},
             "spec": {"status": 418, "body": "short and stout"}},
            routed("moved", {"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "elsewhere"}}]}),
            routed("shared", {"filters": [{"type": "CORS", "cors": {"allowOrigins": ["https://*.shop.test"]}}],
                              "backendRefs": [backend("shared")]}),
            routed("timed", {"timeouts": {"request": "200ms"}, "backendRefs": [backend("timed")]}),
            of("ejected", retry=one, loadBalancer={"panicThreshold": 0},
               outlierDetection={"consecutive5xx": 1, "maxEjectionPercent": 100}),
            of("unreachable", retry=one), of("closed", retry=one), of("long", retry=one), of("refusing", retry=one),
            of("deaf", retry=one, connectionPool={"connectTimeout": "300ms"}), of("reset", retry=one),
            of("short", timeouts={"backendRequest": "150ms"}, retry=one),
            of("tried", retry={"attempts": 1, "perTryTimeout": "100ms", "backoff": "1ms"}),
            of("crowded", circuitBreaker={"maxRequests": 1}, retry=one),
            of("queued", circuitBreaker={"maxConnections": 1, "maxPendingRequests": 1}, retry=one),
            of("filled", circuitBreaker={"maxConnections": 1}), of("impostor", retry=one),
            of("storming", circuitBreaker={"maxRetries": 1}, retry={"attempts": 1, "backoff": "500ms"}),
            of("broke", retryBudget={"percent": 0, "minRetriesPerSecond": 0}),
            of("limited", retry={"attempts": 1, "backoff": "1ms"}), of("large", retry={"attempts": 3}),
            of("capped", rateLimits=[{"name": "few", "requests": 1, "per": "1h", "side": "Client"}]),
            of("quota", rateLimits=[{"name": "all", "requests": 1, "per": "1h", "side": "Client", "scope": "Global"}]),
            of("faulty", faultInjection=[{"matches": [{"path": {"value": "/elsewhere"}}], "delay": {"time": "1ms"}},
                                         {"abort": {"status": 555}}]),
            of("delayed", faultInjection=[{"delay": {"time": "120ms"}}]),
            of("busy", adaptiveConcurrency={"least": 1, "most": 1, "initial": 1}, retry=one)]

    def inbound_port(self):
        workloads = self.mesh.api("GET", "/apis/apus.dev/v1/workloads")[1]["items"]
        return next(w for w in workloads if w["metadata"]["uid"] == self.server.uid)["spec"]["ports"][0]["meshPort"]

    def close(self):
        for thing in (self.deaf, self.long, self.refusing, self.old, self.nameless):
            thing.close()
        for workload in (self.client, self.busy, self.server):
            self.mesh.stop_workload(workload)

    # What the cases do.

    def get(self, url, id, method="GET", fields=(), body=b""):
        return self.client.get(url, fields=[("x-request-id", id), *fields], method=method, body=body)

    def many(self, url, id, count=12):
        """As many at a time; each has the id with a number behind it. Returns the ids of those that the mesh refused."""
        refused = []

        def ask(number):
            if self.get(url, f"{id}-{number}").reason:
                refused.append(f"{id}-{number}")
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return refused

    def bytes(self, data, wait=True):
        """Bytes to the client's proxy; what it answers is of no interest."""
        with raw.Connection(self.client.forward_port) as connection:
            connection.send(data)
            if wait:
                try:
                    connection.response()
                except EOFError:
                    pass

    def handshake(self, context, then=b""):
        """TLS to the server's proxy, however that ends."""
        try:
            with socket.create_connection(("127.0.0.1", self.inbound), 5) as plain, context.wrap_socket(plain) as tls:
                tls.sendall(then or http2.PREFACE)
                tls.recv(100)
        except OSError:
            pass

    def send_inbound(self, data=b"GET / HTTP/1.1\r\nHost: server\r\n\r\n"):
        """Bytes to the server's proxy, past the client's."""
        try:
            with socket.create_connection(("127.0.0.1", self.inbound), 5) as plain:
                plain.sendall(data)
                plain.recv(100)
        except OSError:
            pass

    def why(self, **question):
        query = "&".join(f"{key}={value}" for key, value in question.items())
        status, told = self.mesh.api("GET", f"/apis/apus.dev/v1/why?{query}")
        assert status == 200, told
        return told


@pytest.fixture(name="world", scope="module")
def fixture_world(shared_mesh, tmp_path_factory):
    world = World(shared_mesh, tmp_path_factory.mktemp("leaves"))
    yield world
    world.close()


# Requests. What is asked, and the object that decided: kind, name, and a part of its detail.

def asks(url, *object, **options):
    return lambda world, id: world.get(url, id, **options), object


def reset_by_client(world, id):
    with raw.Connection(world.client.forward_port) as connection:
        connection.request("GET", "http://server/delay/1500", [("x-request-id", id)])
        world.mesh.pause(0.2)
        connection.reset()


def forbidden_connect(world, id):
    raw.get(world.port, "elsewhere:443", [("x-request-id", id)], host="elsewhere:443", method="CONNECT")


def ejected(world, id):
    for number in range(20):
        answer = world.get("http://ejected/status/500", id if number > 3 else f"{id}-{number}")
        if answer.reason == "no_healthy_endpoint":
            return world.get("http://ejected/", id)
    raise AssertionError("the endpoint was not ejected")


def capped(world, id):
    raw.eventually(lambda: world.get("http://capped/", id).status == 429, 5, 0)


def over_quota(world, id):
    raw.eventually(lambda: world.get("http://quota/", id).status == 429, 10, 0.1)


def large_body(world, id):
    """A body that is not kept, for an endpoint that goes away under it."""
    with raw.Connection(world.client.forward_port) as connection:
        try:
            connection.send(b"PUT http://large/abort HTTP/1.1\r\nHost: large\r\nContent-Length: 200000\r\nx-request-id: %s\r\n\r\n"
                            % id.encode() + b"x" * 200_000)
            connection.response()
        except OSError:
            pass


REQUESTS = {
    "no_service": asks("http://nowhere/", "Service", "nowhere", "not there"),
    "no_route": asks("http://unrouted/other", "Service", "unrouted", "none of its routes"),
    "backend_not_found": asks("http://missing/", "HTTPRoute", "route-of-missing", "rule lost"),
    "no_backend_weight": asks("http://weightless/", "HTTPRoute", "route-of-weightless", "rule 0"),
    "no_endpoint": asks("http://empty/", "Service", "empty"),
    "no_healthy_endpoint": (ejected, ("Service", "ejected")),
    "connect_target_forbidden": (forbidden_connect, ("Proxy", None, "elsewhere:443")),
    "direct_response": asks("http://answered/", "HTTPRoute", "route-of-answered"),
    "redirect": asks("http://moved/", "HTTPRoute", "route-of-moved"),
    "cors_preflight": asks("http://shared/", "HTTPRoute", "route-of-shared", method="OPTIONS", fields=[
        ("Origin", "https://www.shop.test"), ("Access-Control-Request-Method", "PUT")]),
    "max_forwards_reached": asks("http://server/", "Proxy", None, method="OPTIONS", fields=[("Max-Forwards", "0")]),
    "connect_failure": asks("http://unreachable/", "Endpoint", None, "224.0.0.1:9"),
    "connect_refused": asks("http://closed/", "Endpoint", None, "127.0.0.1:"),
    "connect_timeout": asks("http://deaf/", "Endpoint", None, "127.0.0.1:"),
    "upstream_reset": asks("http://reset/abort", "Application", "server"),
    "upstream_refused_stream": asks("http://refusing/", "Endpoint", None, "127.0.0.1:"),
    "upstream_protocol_error": asks(f"http://server/raw/{b'garbage'.hex()}0d0a0d0a/close", "Application", "server"),
    "upstream_head_too_large": asks("http://long/", "Endpoint", None, "127.0.0.1:"),
    "request_timeout": asks("http://timed/delay/2000", "HTTPRoute", "route-of-timed", "timeout 200 ms"),
    "backend_request_timeout": asks("http://short/delay/2000", "TrafficPolicy", "policy-of-short", "timeout 150 ms"),
    "per_try_timeout": asks("http://tried/delay/2000", "TrafficPolicy", "policy-of-tried", "timeout 100 ms"),
    "caller_deadline_exceeded": asks("http://server/delay/2000", "Client", None, "deadline",
                                     fields=[("x-envoy-expected-rq-timeout-ms", "150")]),
    "rate_limited": (capped, ("TrafficPolicy", "policy-of-capped", "rule few, limit of 1")),
    "quota_exceeded": (over_quota, ("TrafficPolicy", "policy-of-quota", "rule all, limit of 1")),
    "fault_injected": asks("http://faulty/", "TrafficPolicy", "policy-of-faulty", "rule faultInjection[1]"),
    "client_reset": (reset_by_client, ("Client", None)),
    "tls_identity_mismatch": asks("http://impostor/", "BackendTLSPolicy", "impostor", "endpoint 127.0.0.1:"),
}


def told_of(world, id, reason):
    def known():
        told = world.why(id=id)
        return told["reason"] == reason and told
    return raw.eventually(known, 5)


def check(told, reason, kind, name=None, detail=""):
    """The sentence comes first and is one; then the chain, the object, what to do."""
    assert told["sentence"][0].isupper() and told["sentence"].endswith("."), told["sentence"]
    assert told["object"]["kind"] == kind and name in (None, told["object"]["name"]), told["object"]
    assert detail in told["object"]["name"] + told["object"]["detail"], told["object"]
    assert told["chain"] and told["remedy"], told
    assert any(reason in step["text"] for step in told["chain"]) or told["reason"] == reason


@pytest.mark.parametrize("reason", REQUESTS)
def test_a_request_and_who_decided(world, reason):
    provoke, object = REQUESTS[reason]
    provoke(world, f"of-{reason}")
    check(told_of(world, f"of-{reason}", reason), reason, *object)


# What breakers refuse takes several requests at a time.
BREAKERS = {
    "circuit_open_requests": ("http://crowded/delay/300", "policy-of-crowded", "limit 1 requests under way"),
    "circuit_open_pending": ("http://queued/delay/300", "policy-of-queued", "limit 1 waiting requests")}


@pytest.mark.parametrize("reason", BREAKERS)
def test_a_breaker_and_its_number(world, reason):
    url, name, detail = BREAKERS[reason]
    refused = world.many(url, f"of-{reason}")
    assert refused
    check(told_of(world, refused[0], reason), reason, "TrafficPolicy", name, detail)


def test_load_that_is_shed(world):
    refused = world.many("http://busy/delay/300", "of-overload")
    told = told_of(world, refused[0], "overload")
    check(told, "overload", "TrafficPolicy", "policy-of-busy", "adaptive concurrency")


# Why a failure was not tried again stands beside the failure.
REFUSED_RETRIES = {
    "retry_limit": lambda w, id: w.get("http://limited/abort", id),
    "retry_budget_exhausted": lambda w, id: w.get("http://broke/abort", id),
    "retry_body_too_large": large_body}


@pytest.mark.parametrize("reason", REFUSED_RETRIES)
def test_a_retry_that_was_not_made(world, reason):
    REFUSED_RETRIES[reason](world, f"of-{reason}")

    def known():
        told = world.why(id=f"of-{reason}")
        return "not tried again" in told["sentence"] and told
    told = raw.eventually(known, 5)
    assert any(f"not tried again: {reason}" in step["text"] for step in told["chain"]), told["chain"]


def test_a_retry_that_the_breaker_did_not_admit(world):
    """With a dozen at a time that fail, and one retry under way at each worker."""
    refused = world.many("http://storming/abort", "of-storm")
    told = [world.why(id=id) for id in refused]
    found = [t for t in told if any("not tried again: circuit_open_retries" in step["text"] for step in t["chain"])]
    assert found and all("It was not tried again: as many retries" in t["sentence"] for t in found)


def test_every_attempt_is_in_the_chain(world):
    """One that fails on both tries, and one that is answered by the second."""
    world.get("http://limited/abort", "of-attempts")
    told = told_of(world, "of-attempts", "upstream_reset")
    steps = [step["text"] for step in told["chain"] if step["text"].startswith("attempt")]
    assert [step.split(",")[0] for step in steps] == ["attempt 1", "attempt 2"]
    assert all("upstream_reset after" in step and "127.0.0.1:" in step for step in steps), steps
    world.get("http://broke/status/503", "of-answer")
    assert "It was not tried again: the attempt failed, and the retry budget" in world.why(id="of-answer")["sentence"]
    world.get("http://limited/status/503", "of-answers")
    told = world.why(id="of-answers")
    source = next(d for d in told["decisions"] if d["reporter"] == "source")
    assert [(a["status"], a["reason"]) for a in source["failedAttempts"]] == [(503, "")]
    assert source["attempts"] == 2 and any("answered 503 after" in step["text"] for step in told["chain"])


def test_an_answer_that_breaks_off(world):
    with raw.Connection(world.client.forward_port) as connection:
        connection.request("GET", "http://reset/stop-after/1000", [("x-request-id", "of-truncated")], host="reset")
        with pytest.raises(EOFError):
            connection.response()
    told = told_of(world, "of-truncated", "upstream_truncated")
    check(told, "upstream_truncated", "Application", "server")
    assert "was broken off after the head of its answer (200)" in told["sentence"]
    assert {d["failure"] for d in told["decisions"]} == {True} and {d["status"] for d in told["decisions"]} == {200}


def test_a_delay_that_was_put_in(world):
    assert world.get("http://delayed/", "of-delay").status == 200
    told = world.why(id="of-delay")
    assert "a fault that is put in on purpose took 120 ms" in told["sentence"]
    assert told["object"]["text"].startswith(f"TrafficPolicy {SPACE}/policy-of-delayed") and "delay 120 ms" in told["object"]["detail"]


# Bytes that are no request: nobody can name them by an id, so they are found by whose they are.
HEAD = b"GET http://server/ HTTP/1.1\r\nHost: server\r\n"
BODY = b"POST http://server/hash HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "malformed_request": HEAD + b"X-A: b\nX-B: c\r\n\r\n",
    "malformed_request_line": b"G(T / HTTP/1.1\r\nHost: server\r\n\r\n",
    "invalid_header_field": HEAD + b"X-A : b\r\n\r\n",
    "obsolete_line_folding": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "conflicting_framing": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "invalid_content_length": HEAD + b"Content-Length: +5\r\n\r\n",
    "invalid_transfer_encoding": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "unsupported_transfer_encoding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "invalid_chunk": BODY + b"5g\r\nhello\r\n0\r\n\r\n",
    "missing_host": b"GET / HTTP/1.1\r\n\r\n",
    "conflicting_host": b"GET http://other/ HTTP/1.1\r\nHost: server\r\n\r\n",
    "invalid_request_target": b"GET x HTTP/1.1\r\nHost: server\r\n\r\n",
    "invalid_path": b"GET /a/..;/b HTTP/1.1\r\nHost: server\r\n\r\n",
    "unsupported_version": b"GET / HTTP/2.0\r\nHost: server\r\n\r\n",
    "request_head_too_large": HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "too_many_headers": HEAD + b"X-A: b\r\n" * 101 + b"\r\n",
    "request_line_too_long": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: server\r\n\r\n",
    "expectation_failed": HEAD + b"Expect: a miracle\r\n\r\n",
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_bytes_that_are_no_request(world, reason):
    world.bytes(MALFORMED[reason])

    def known():
        told = world.why(**{"from": f"{SPACE}/client"}, reason=reason)
        return told["reason"] == reason and told
    check(raw.eventually(known, 5), reason, "Client")


def flood(world):
    with http2.Client(world.port) as client:
        try:
            for _ in range(60):
                client.send(*[http2.ping()] * 100)
            client.goaway_code()
        except (OSError, EOFError, AssertionError):
            pass


def broken_frames(world):
    with http2.Client(world.port) as client:
        try:
            client.send(http2.data(0, b"x"))
            client.goaway_code()
        except (OSError, EOFError, AssertionError):
            pass


@pytest.mark.parametrize("reason,provoke", [("http2_flood", flood), ("http2_protocol_error", broken_frames)])
def test_http2_that_is_none(world, reason, provoke):
    provoke(world)

    def known():
        told = world.why(**{"from": f"{SPACE}/client"}, reason=reason)
        return told["reason"] == reason and told
    check(raw.eventually(known, 5), reason, "Client")


def test_an_endpoint_that_speaks_no_http2_is_named_and_not_its_client(world):
    answer = world.get("http://old/", "of-old")
    assert (answer.status, answer.reason) == (502, "upstream_protocol_error"), answer
    check(told_of(world, "of-old", "upstream_protocol_error"), "upstream_protocol_error", "Endpoint", None,
          f"127.0.0.1:{world.old.port}")


def asks_again(world):
    """A handshake that is over, and a record in it that asks for another."""
    connection = Sealer(world.leaves.context("again"), ("127.0.0.1", world.inbound), str(world.folder / "keys"))
    connection.send(HANDSHAKE, HELLO_REQUEST)
    connection.rest()
    connection.close()


# Handshakes with the server's proxy.
HANDSHAKES = {
    "tls_renegotiation": asks_again,
    "tls_plaintext_refused": lambda w: w.send_inbound(),
    "tls_no_client_certificate": lambda w: w.handshake(plain_context()),
    "tls_unknown_authority": lambda w: w.handshake(w.leaves.context("forged", key=ec.generate_private_key(ec.SECP256R1()))),
    "tls_certificate_expired": lambda w: w.handshake(w.leaves.context("expired", begin=-7200, end=-3600)),
    "tls_certificate_not_yet_valid": lambda w: w.handshake(w.leaves.context("early", begin=7200)),
    "tls_authority_as_leaf": lambda w: w.handshake(w.leaves.context("authority", is_authority=True)),
    "tls_no_identity": lambda w: w.handshake(w.leaves.context("nameless", identities=[])),
    "tls_certificate_invalid": lambda w: w.handshake(w.leaves.context("signer", purposes=[ExtendedKeyUsageOID.CODE_SIGNING])),
    "tls_several_identities": lambda w: w.handshake(w.leaves.context("double", identities=[
        f"spiffe://cluster.local/ns/{SPACE}/sa/one", f"spiffe://cluster.local/ns/{SPACE}/sa/two"])),
    "tls_invalid_identity": lambda w: w.handshake(w.leaves.context("strange", identities=["https://cluster.local/x"])),
    "tls_foreign_trust_domain": lambda w: w.handshake(w.leaves.context("foreign", identities=[
        f"spiffe://elsewhere.test/ns/{SPACE}/sa/one"])),
    "tls_version_too_old": lambda w: w.handshake(plain_context(version=ssl.TLSVersion.TLSv1_2)),
    "tls_protocol_mismatch": lambda w: w.handshake(w.leaves.context("mute", alpn=("smtp",))),
    "tls_handshake_failure": lambda w: w.send_inbound(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
}


@pytest.mark.parametrize("reason", HANDSHAKES)
def test_a_handshake_that_was_refused(world, reason):
    HANDSHAKES[reason](world)

    def known():
        told = world.why(to=f"{SPACE}/server", reason=reason)
        return told["reason"] == reason and told
    told = raw.eventually(known, 5)
    check(told, reason, "Client", None, "127.0.0.1" if reason != "tls_plaintext_refused" else "STRICT")
    assert told["sentence"].startswith("A connection from 127.0.0.1:")


def test_the_policy_that_demands_mutual_tls_is_named(world):
    world.mesh.apply({"apiVersion": "apus.dev/v1", "kind": "PeerAuthentication",
                      "metadata": {"name": "strictly", "namespace": SPACE}, "spec": {"mode": "STRICT"}})
    world.send_inbound()

    def known():
        told = world.why(to=f"{SPACE}/server", reason="tls_plaintext_refused")
        return told["object"]["kind"] == "PeerAuthentication" and told
    assert raw.eventually(known, 5)["object"]["name"] == "strictly"
    world.mesh.cli("delete", "peerauthentication", "strictly", "-n", SPACE)


def limited_client(world, folder, name, limit):
    """A client whose proxy has a limit of its own."""
    program = os.environ.get("APUS_PROXY_PROGRAM", os.path.join(TOP, ".build", "release", "apus-proxy"))
    wrapper = folder / "apus-proxy"
    wrapper.write_text(f'#!/bin/sh\nexec {program} --limit {limit} "$@"\n')
    wrapper.chmod(0o755)
    world.mesh.environment["APUS_PROXY"] = str(wrapper)
    try:
        return world.mesh.client(name, namespace=SPACE)
    finally:
        del world.mesh.environment["APUS_PROXY"]


def test_an_answer_that_falls_silent(world, tmp_path):
    hasty = limited_client(world, tmp_path, "hasty", "stream-idle-seconds=1")
    world.mesh.wait_for(hasty, "http://server/")
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with raw.Connection(hasty.forward_port) as connection:
        connection.request("GET", f"http://server/raw/{begun.hex()}", [("x-request-id", "of-silence")], host="server")
        with pytest.raises(EOFError):
            connection.response()
    told = told_of(world, "of-silence", "stream_idle_timeout")
    check(told, "stream_idle_timeout", "Endpoint", "server", "127.0.0.1:")
    assert "was broken off after the head of its answer (200)" in told["sentence"]
    # A second after the last byte, not when the 15 s for an answer would have been over.
    assert told["decisions"][0]["durationMs"] < 14_000, told["decisions"]
    world.mesh.stop_workload(hasty)


# What the proxy itself has no more of.
def test_a_limit_on_connections(world, tmp_path):
    poor = limited_client(world, tmp_path, "poor", "connections=2")
    connections = [socket.create_connection(("127.0.0.1", poor.forward_port)) for _ in range(20)]

    def known():
        told = world.why(**{"from": f"{SPACE}/poor"}, reason="connection_limit")
        return told["reason"] == "connection_limit" and told
    told = raw.eventually(known)
    assert told["object"]["kind"] == "Proxy" and told["object"]["name"] == poor.uid
    for connection in connections:
        connection.close()

    def starved():
        # Connections that have ended may still be closing: the first number that is free now is the first that is forbidden.
        taken = {int(number) for number in os.listdir(f"/proc/{poor.sidecar_pid}/fd")}
        free = next(number for number in range(1024) if number not in taken)
        resource.prlimit(poor.sidecar_pid, resource.RLIMIT_NOFILE, (free, 1024))
        with socket.create_connection(("127.0.0.1", poor.forward_port)):
            told = world.why(**{"from": f"{SPACE}/poor"}, reason="descriptor_limit")
        return told["reason"] == "descriptor_limit" and told
    assert raw.eventually(starved, 60, 0.1)["object"]["name"] == poor.uid
    resource.prlimit(poor.sidecar_pid, resource.RLIMIT_NOFILE, (1024, 1024))
    world.mesh.stop_workload(poor)


# Patience has an end after 15 seconds: these begin with the module, and are asked about last.
def slow_head(world):
    with raw.Connection(world.client.forward_port, 30) as connection:
        connection.send(b"GET http://server/ HTTP/1.1\r\nHost: ser")
        connection.rest()


def slow_body(world):
    with raw.Connection(world.client.forward_port, 30) as connection:
        connection.send(b"POST http://server/hash HTTP/1.1\r\nHost: server\r\nContent-Length: 500\r\nx-request-id: of-slow\r\n\r\nx")
        connection.rest()


def slow_handshake(world):
    with socket.create_connection(("127.0.0.1", world.inbound), 30) as plain:
        plain.sendall(b"\x16\x03\x01")
        plain.recv(100)


def full_line(world):
    """More tunnels than the breaker allows at once: those that go through stay open until the others have been refused."""
    tunnels = []
    for number in range(8):
        tunnel = raw.Connection(world.client.forward_port, 60)
        tunnel.request("CONNECT", "filled:80", [("x-request-id", f"of-filled-{number}")], host="filled:80")
        tunnels.append(tunnel)
    for tunnel in tunnels:
        tunnel.response("CONNECT")
    for tunnel in tunnels:
        tunnel.socket.close()


SLOW = {"header_timeout": slow_head, "body_timeout": slow_body, "tls_handshake_timeout": slow_handshake,
        "circuit_open_connections": full_line}
DECIDED = {"circuit_open_connections": ("TrafficPolicy", "policy-of-filled", "limit 1 connections")}


@pytest.mark.parametrize("reason", SLOW)
def test_patience_that_has_an_end(world, reason):
    question = {"to": f"{SPACE}/server"} if reason.startswith("tls") else {"from": f"{SPACE}/client"}

    def known():
        told = world.why(**question, reason=reason)
        return told["reason"] == reason and told
    check(raw.eventually(known, 60), reason, *DECIDED.get(reason, ("Client",)))


# Meshes that are set up for it.
def test_a_backend_that_another_namespace_does_not_permit(tmp_path, load_program):
    for mesh in run_mesh(tmp_path, load_program, options=["--require-reference-grants"]):
        client = mesh.client()
        far = {**service("far"), "metadata": {"name": "far", "namespace": "elsewhere"}}
        mesh.apply({**service("near"), "metadata": {"name": "near", "namespace": "default"}}, far,
                   route("near", {"name": "abroad", "backendRefs": [{**backend("far"), "namespace": "elsewhere"}]}))
        answer = client.get("http://near/", fields=[("x-request-id", "of-abroad")])
        assert (answer.status, answer.reason) == (500, "backend_not_permitted"), answer
        status, told = mesh.api("GET", "/apis/apus.dev/v1/why?id=of-abroad")
        assert status == 200 and told["reason"] == "backend_not_permitted", told
        check(told, "backend_not_permitted", "HTTPRoute", "near", "rule abroad")


def test_a_certificate_that_the_peer_finds_expired(tmp_path, load_program):
    """The server has a certificate of a day, the client one of a minute, which has ended by the server's new clock."""
    clock, wrapper = tmp_path / "clock", tmp_path / "apus-proxy"
    program = os.environ.get("APUS_PROXY_PROGRAM", os.path.join(TOP, ".build", "release", "apus-proxy"))
    wrapper.write_text(f'#!/bin/sh\nexec {program} --clock-offset-seconds "$(cat {clock})" "$@"\n')
    wrapper.chmod(0o755)
    clock.write_text("0")
    for mesh in run_mesh(tmp_path, load_program):
        mesh.environment["APUS_PROXY"] = str(wrapper)
        server = mesh.quick_server()
        del mesh.environment["APUS_PROXY"]
        mesh.kill_control_plane()
        mesh.certificate_seconds = 60
        mesh.start()
        client = mesh.client()
        mesh.meshed(server)
        assert client.get("http://server/").status == 200
        mesh.kill_control_plane()
        clock.write_text("1000")
        before = server.sidecar_pid
        processes.kill(before)
        raw.eventually(lambda: server.sidecar_pid != before, 60)
        tries = iter(range(10_000))

        def refused():
            id = f"of-expired-{next(tries)}"
            answer = client.get("http://server/", fields=[("x-request-id", id)])
            return (answer.status, answer.reason) == (503, "tls_no_own_certificate") and id
        id = raw.eventually(refused, 60)
        mesh.start()

        def known():
            status, told = mesh.api("GET", f"/apis/apus.dev/v1/why?id={id}")
            return status == 200 and told["reason"] == "tls_no_own_certificate" and told
        check(raw.eventually(known, 60), "tls_no_own_certificate", "Proxy", client.uid)


# Provoked by a test of its own: which one.
ELSEWHERE = {
    "backend_not_permitted": "test_a_backend_that_another_namespace_does_not_permit",
    "circuit_open_retries": "test_a_retry_that_the_breaker_did_not_admit",
    "connection_limit": "test_a_limit_on_connections", "descriptor_limit": "test_a_limit_on_connections",
    "http2_flood": "test_http2_that_is_none", "http2_protocol_error": "test_http2_that_is_none",
    "overload": "test_load_that_is_shed", "stream_idle_timeout": "test_an_answer_that_falls_silent",
    "tls_no_own_certificate": "test_a_certificate_that_the_peer_finds_expired",
    "upstream_truncated": "test_an_answer_that_breaks_off",
}


def test_no_reason_is_forgotten():
    with open(os.path.join(TOP, "docs", "reasons.md")) as page:
        listed = set(re.findall(r"^## `(\w+)`", page.read(), re.M))
    tables = [REQUESTS, BREAKERS, REFUSED_RETRIES, MALFORMED, HANDSHAKES, SLOW, ELSEWHERE]
    provoked = [reason for table in tables for reason in table]
    assert sorted(provoked) == sorted(listed), "each reason in one table, and no other"
    missing = [name for name in ELSEWHERE.values() if not callable(globals().get(name))]
    assert not missing, missing
