"""Routes beyond the conformance tests: connections by weight and by server name, other origins, kinds that meet."""

import collections
import http.server
import json
import os
import re
import ssl
import threading

import grpc
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families as parse

from conftest import run_mesh
from support import raw
from support.gamma import route, rule, to
from support.pods import Pods
from support.processes import free_port
from test_conformance import Calls

SHOP = "shop"


def service(name, version=None):
    selector = {"app": "echo", **({"version": version} if version else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SHOP},
            "spec": {"selector": selector, "ports": [
                {"name": "http", "port": 80, "targetPort": 8080}, {"name": "tls", "port": 443, "targetPort": 8443},
                {"name": "tcp", "port": 9090}, {"name": "grpc", "port": 7070}]}}


def attached(name, kind, *rules, port=None, parent="echo", **more):
    made = route(name, *rules, kind=kind, parent=parent, port=port, namespace=SHOP, **more)
    made["spec"]["parentRefs"][0]["namespace"] = SHOP
    return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory, load_program):
    """Two versions of the echo application behind one service, with certificates for a.shop.test and b.shop.test."""
    folder = tmp_path_factory.mktemp("shop")
    authority = trustme.CA()
    issued = authority.issue_cert("a.shop.test", "b.shop.test", "c.other.test")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(key)
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    for mesh in run_mesh(tmp_path_factory.mktemp("mesh"), load_program):
        mesh.apply(service("echo"), service("echo-v1", "v1"), service("echo-v2", "v2"))
        pods = Pods(mesh, folder, (certificate, key))
        pods.authority = authority
        try:
            pods.calls = free_port()
            pods.client = pods.start("echo", "v1", SHOP, {"echo:7070": pods.calls})
            pods.start("echo", "v2", SHOP)
            for name in ("echo-v1", "echo-v2"):
                raw.eventually(lambda name=name: pods.client.request(f"http://{name}/").status == 200, 30)
            yield pods
        finally:
            problems = pods.stop()
        assert not problems, problems


@pytest.fixture
def apply(shop):
    """Applies objects for the length of a test."""
    made = []

    def applied(*objects):
        made.extend(objects)
        return shop.mesh.apply(*objects)
    yield applied
    for found in reversed(made):
        shop.mesh.delete(found["kind"].lower(), found["metadata"]["name"], SHOP)


def conditions(shop, kind, name):
    text = shop.mesh.cli("get", kind, name, "-n", SHOP, "-o", "json").stdout
    parents = json.loads(text).get("status", {}).get("parents", [])
    return [{item["type"]: item["reason"] for item in parent["conditions"]} for parent in parents]


def connections(shop):
    """How many the client's proxy has opened, by the service they went to and the rule."""
    found = collections.Counter()
    for family in parse(raw.get(shop.client.admin, "/metrics", host="localhost").body.decode()):
        for sample in family.samples:
            if sample.name == "istio_tcp_connections_opened_total" and sample.labels["reporter"] == "source":
                found[sample.labels["destination_service_name"], sample.labels["route_name"]] += int(sample.value)
    return found


def greeting(connection):
    return connection._until(b"\n").decode()


def test_tcp_route_divides_connections_by_weight(shop, apply):
    apply(attached("split", "TCPRoute", rule(backends=[to("echo-v1", 9090, weight=1), to("echo-v2", 9090, weight=3)]),
                   port=9090),
          {"apiVersion": "apus.dev/v1", "kind": "Telemetry", "metadata": {"name": "lines", "namespace": SHOP},
           "spec": {"accessLogging": [{"format": "JSON"}]}})

    def found(count):
        names = []
        for _ in range(count):
            with shop.client.connect("echo:9090") as connection:
                names.append(greeting(connection))
                connection.send(b"hello")
                assert connection._exactly(5) == b"hello"
        return names
    before = connections(shop)
    names = found(200)
    # Four standard deviations of a binomial distribution of 200 at 0.75.
    assert abs(names.count("echo-v2") - 150) < 25 and set(names) == {"echo-v1", "echo-v2"}
    # Metrics name, as Istio's do, the service that a connection went to; the rule that sent it there stands beside it.
    told = raw.eventually(lambda: (now := connections(shop)) and sum((now - before).values()) == 200 and now - before, 60)
    assert {(service, route) for service, route in told} == {(name, f"{SHOP}/split/0") for name in names}, told
    assert all(told[name, f"{SHOP}/split/0"] == names.count(name) for name in set(names))
    with open(os.path.join(shop.folder, f"{SHOP}-{shop.client.name}.proxy.log"), encoding="utf-8") as log:
        lines = [json.loads(line) for line in log if line.startswith("{") and '"upstream_cluster":"shop/echo-v2"' in line]
    assert {(line["route_name"], line["destination_principal"]) for line in lines} == {
        (f"{SHOP}/split/0", f"spiffe://cluster.local/ns/{SHOP}/sa/echo")}, lines
    # Whoever asks for the service sees its connections.
    def seen():
        rows = json.loads(shop.mesh.cli("stat", "--to", f"{SHOP}/echo", "--window", "3600", "-o", "json").stdout)["items"]
        assert sum(row["tcpOpened"] for row in rows) >= 200 and {row["service"] for row in rows} == {"echo"}, rows
        return True
    raw.eventually(seen, 60, 0.5)
    for verb in (["stat", "--to", f"{SHOP}/echo"], ["routes", "echo", "-n", SHOP], ["edges", "-n", SHOP, "--to", f"{SHOP}/echo"]):
        text = shop.mesh.cli(*verb, "--window", "3600").stdout
        counts = re.findall(r" \d+/(\d+)$", text, re.M)
        assert text.split("\n")[0].endswith("TCP") and sum(map(int, counts)) >= 200, (verb, text)
    assert conditions(shop, "tcproute", "split") == [{"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}]
    wide = shop.mesh.cli("get", "tcproute", "-n", SHOP, "-o", "wide").stdout
    assert "ACCEPTED" in wide and "RESOLVED" in wide and "split" in wide


def secure(shop, name):
    """Opens TLS to `name` through `echo:443`; answers whom the request inside reached."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shop.authority.configure_trust(context)
    with shop.client.connect("echo:443") as connection:
        connection.socket = context.wrap_socket(connection.socket, server_hostname=name)
        connection.request("GET", "/", host=name)
        return json.loads(connection.response().body)["pod"]


def test_tls_route_goes_by_server_name_and_leaves_the_tls_alone(shop, apply):
    apply(attached("a", "TLSRoute", rule(backends=[to("echo-v1", 443)]), port=443, hostnames=["a.shop.test"]),
          attached("others", "TLSRoute", rule(backends=[to("echo-v2", 443)]), port=443, hostnames=["*.shop.test"]))
    for _ in range(5):
        assert secure(shop, "a.shop.test") == "echo-v1"
        assert secure(shop, "b.shop.test") == "echo-v2"
    described = shop.mesh.cli("describe", "echo", "-n", SHOP).stdout
    assert re.search(r"TLSRoute +\S*a +1 +yes", described) and re.search(r"TLSRoute +\S*others", described), described
    # No route has this name: the connection is refused, and nothing of it reaches an endpoint.
    with pytest.raises((ConnectionError, ssl.SSLError, EOFError)):
        secure(shop, "c.other.test")
    with shop.client.connect("echo:443") as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.rest() == b""


def test_tls_route_waits_for_a_message_that_comes_byte_by_byte(shop, apply):
    apply(attached("a", "TLSRoute", rule(backends=[to("echo-v2", 443)]), port=443, hostnames=["a.shop.test"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shop.authority.configure_trust(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.shop.test")
    with shop.client.connect("echo:443") as connection:
        first = True
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                message = outgoing.read()
                for byte in (message if first else [message]):
                    connection.send(bytes([byte]) if first else byte)
                first = False
                incoming.write(connection.socket.recv(65536))
        connection.send(outgoing.read())
        tls.write(b"GET / HTTP/1.1\r\nHost: a.shop.test\r\nConnection: close\r\n\r\n")
        connection.send(outgoing.read())
        answer = connection.rest()
        incoming.write(answer)
        assert b'"echo-v2"' in tls.read(65536) + tls.read(65536)


def test_of_two_kinds_on_a_port_the_more_specific_is_in_force(shop, apply):
    http = attached("web", "HTTPRoute", rule(
        filters=[{"type": "RequestRedirect", "requestRedirect": {"hostname": "example.org"}}]), port=7070)
    apply(http)
    raw.eventually(lambda: conditions(shop, "httproute", "web")[0]["Accepted"] == "Accepted")
    apply(attached("calls", "GRPCRoute", rule(
        {"method": {"service": "shop.Catalog"}}, backends=[to("echo-v2", 7070)]), port=7070))
    raw.eventually(lambda: conditions(shop, "httproute", "web")[0]["Accepted"] == "Conflicted")
    with Calls(shop.calls) as calls:
        calls.eventually(lambda: calls.call(method="/shop.Catalog/List")["pod"] == "echo-v2")
        with pytest.raises(grpc.RpcError) as refused:
            calls.call(method="/shop.Cart/List")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_connect_to_a_routed_port_leads_to_its_routes(shop, apply):
    """Libraries of gRPC go by CONNECT wherever HTTP_PROXY is set: no tunnel leads around the routes."""
    apply(attached("calls", "GRPCRoute", rule(
        {"method": {"service": "shop.Catalog"}}, backends=[to("echo-v2", 7070)]), port=7070))
    with Calls(shop.calls) as calls:
        calls.eventually(lambda: calls.call(method="/shop.Catalog/List")["pod"] == "echo-v2")
    with Calls(forward=shop.client.forward) as calls:
        assert {calls.call(method="/shop.Catalog/List")["pod"] for _ in range(10)} == {"echo-v2"}
        with pytest.raises(grpc.RpcError) as refused:
            calls.call(method="/shop.Cart/List")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


ORIGIN = "https://www.shop.test"
CORS = {"type": "CORS", "cors": {"allowOrigins": ["https://*.shop.test"], "allowMethods": ["PUT"],
                                 "allowHeaders": ["x-token"], "exposeHeaders": ["x-page"], "allowCredentials": True,
                                 "maxAge": 60}}


def test_cors_preflight_requests_are_answered_by_the_mesh(shop, apply):
    apply(attached("cors", "HTTPRoute", rule(filters=[CORS], backends=[to("echo-v1", 80)]), port=80))

    def preflight(origin):
        return shop.client.request("http://echo/", "OPTIONS", [
            ("Origin", origin), ("Access-Control-Request-Method", "PUT")])
    answer = raw.eventually(lambda: (found := preflight(ORIGIN)).reason == "cors_preflight" and found, 15)
    assert answer.status == 204 and answer.body == b""
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert answer.header("access-control-allow-methods") == "PUT"
    assert answer.header("access-control-allow-headers") == "x-token"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-max-age") == "60"
    refused = preflight("https://www.elsewhere.test")
    assert refused.status == 204 and refused.header("access-control-allow-origin") is None
    # An OPTIONS request that asks for no permission is the application's.
    plain = shop.client.request("http://echo/", "OPTIONS", [("Origin", ORIGIN)])
    assert json.loads(plain.body)["method"] == "OPTIONS"


def test_cors_answers_say_whether_they_may_be_shared(shop, apply):
    apply(attached("cors", "HTTPRoute", rule(filters=[CORS], backends=[to("echo-v1", 80)]), port=80))

    def get(*fields):
        return shop.client.request("http://echo/", fields=fields)
    answer = raw.eventually(
        lambda: (found := get(("Origin", ORIGIN))).header("access-control-allow-origin") == ORIGIN and found, 15)
    assert answer.header("access-control-expose-headers") == "x-page" and answer.header("vary") == "Origin"
    assert answer.header("access-control-allow-credentials") == "true"
    # What the application itself says of sharing is the route's to say.
    other = get(("Origin", "https://www.elsewhere.test"))
    assert other.status == 200 and other.header("access-control-allow-origin") is None
    assert get().header("access-control-allow-origin") is None


def test_connections_to_a_backend_that_is_not_there_are_refused_with_the_reason(shop, apply):
    apply(attached("broken", "TCPRoute", rule(backends=[to("nobody", 9090)]), port=9090))
    raw.eventually(lambda: conditions(shop, "tcproute", "broken") == [
        {"Accepted": "Accepted", "ResolvedRefs": "BackendNotFound"}])

    def refused():
        with raw.Connection(shop.client.forward) as connection:
            connection.request("CONNECT", "echo:9090", host="echo:9090")
            answer = connection.response("CONNECT")
            assert answer.status == 500 and answer.reason == "backend_not_found", answer
            return True
    raw.eventually(refused, 15)


def outside(shop, hostname, authority):
    """A service whose endpoint is a server outside the mesh, reached by TLS."""
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payments", "namespace": SHOP},
         "spec": {"ports": [{"name": "https", "port": 443}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
         "metadata": {"name": "payments", "namespace": SHOP, "labels": {"kubernetes.io/service-name": "payments"}},
         "addressType": "IPv4", "endpoints": [{"addresses": [shop.client.address]}],
         "ports": [{"name": "https", "port": 8443}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "payments", "namespace": SHOP},
         "data": {"ca.crt": authority.cert_pem.bytes().decode()}},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy",
         "metadata": {"name": "payments", "namespace": SHOP},
         "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "payments"}],
                  "validation": {"hostname": hostname, "caCertificateRefs": [
                      {"group": "", "kind": "ConfigMap", "name": "payments"}]}}}]


def test_servers_outside_the_mesh_are_reached_by_tls_that_is_verified(shop, apply):
    apply(*outside(shop, "a.shop.test", shop.authority))

    def answered(status, reason=None):
        answer = shop.client.request("http://payments:443/paid", fields=[("X-Note", "1")])
        assert (answer.status, answer.reason) == (status, reason), answer
        return answer
    seen = json.loads(raw.eventually(lambda: answered(200), 20).body)
    assert seen["pod"] == "echo-v1" and seen["path"] == "/paid" and seen["headers"]["x-note"] == ["1"]
    for _ in range(3):
        answered(200)
    # Another name than the certificate's, and another authority: refused, never in plaintext.
    shop.mesh.apply(*outside(shop, "elsewhere.test", shop.authority)[-1:])
    raw.eventually(lambda: answered(503, "tls_identity_mismatch"), 20)
    told = json.loads(shop.mesh.cli("why", "--to", f"{SHOP}/payments", "--reason", "tls_identity_mismatch", "-o", "json").stdout)
    assert told["reason"] == "tls_identity_mismatch" and told["object"]["kind"] == "BackendTLSPolicy", told
    assert told["object"]["name"] == "payments" and "authorities that the policy names" in told["remedy"], told
    described = shop.mesh.cli("describe", "payments", "-n", SHOP).stdout
    assert re.search(r"BackendTLSPolicy +(\S+/)?payments", described), described
    shop.mesh.apply(*outside(shop, "a.shop.test", trustme.CA())[-2:])
    raw.eventually(lambda: answered(503, "tls_unknown_authority"), 20)
    shop.mesh.cli("delete", "configmap", "payments", "-n", SHOP)

    def reported():
        text = shop.mesh.cli("get", "backendtlspolicy", "payments", "-n", SHOP, "-o", "json").stdout
        ancestor, = json.loads(text)["status"]["ancestors"]
        assert {item["type"]: item["reason"] for item in ancestor["conditions"]} == {
            "Accepted": "NoValidCACertificate", "ResolvedRefs": "InvalidCACertificateRef"}
        return True
    raw.eventually(reported, 20)
    answered(503, "tls_unknown_authority")
    # And healed by its own.
    shop.mesh.apply(*outside(shop, "a.shop.test", shop.authority)[-2:])
    raw.eventually(lambda: answered(200), 20)


def test_the_systems_authorities_vouch_for_servers_outside_the_mesh(own_mesh, tmp_path):
    """`wellKnownCACertificates: System` means the file that SSL_CERT_FILE names to the proxy, where it names one."""
    believed, other = trustme.CA(), trustme.CA()

    class Payments(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"paid\n")

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Payments)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    believed.issue_cert("pay.example.org").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        own_mesh.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payments"},
             "spec": {"ports": [{"name": "https", "port": 443}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": "payments", "labels": {"kubernetes.io/service-name": "payments"}},
             "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
             "ports": [{"name": "https", "port": server.server_port}]},
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "payments"},
             "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "payments"}],
                      "validation": {"hostname": "pay.example.org", "wellKnownCACertificates": "System"}}})
        for name, authority in (("right", believed), ("wrong", other)):
            roots = tmp_path / f"{name}.pem"
            authority.cert_pem.write_to_path(str(roots))
            own_mesh.environment["SSL_CERT_FILE"] = str(roots)
            client = own_mesh.client(name)

            def answered(client=client, authority=authority):
                answer = client.get("http://payments:443/")
                found = (answer.status, answer.reason)
                assert found == ((200, None) if authority is believed else (503, "tls_unknown_authority")), answer
                return True
            raw.eventually(answered, 15)
    finally:
        server.shutdown()
