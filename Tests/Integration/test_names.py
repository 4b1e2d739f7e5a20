"""Services whose endpoints are the addresses of a DNS name, with a name server of the test's own: what its answers, their
changes and its failures do to traffic."""

import http.server
import json
import os
import re
import ssl
import threading

import pytest
import trustme
import yaml

from support import raw
from support.mesh import Mesh, policy, route
from support.names import NXDOMAIN, REFUSED, SERVFAIL, NameServer

LOOPBACK = {"apus.dev/allow-loopback": "true"}


class Backend:
    """A server outside the mesh that says where it is, and who was asked for; `/slow` waits until it is let go."""

    def __init__(self, address, port=0, context=None):
        self.let_go, self.waiting = threading.Event(), threading.Event()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/slow":
                    backend.waiting.set()
                    backend.let_go.wait(120)
                body = json.dumps({"at": address, "host": self.headers["Host"]}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = 10 if ":" in address else 2
            daemon_threads = True

        self.server = Server((address, port), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def servers():
    """Servers on one port of several loopback addresses."""
    first = Backend("127.0.0.21")
    found = {"127.0.0.21": first}
    for address in ("127.0.0.22", "127.0.0.23", "::1"):
        found[address] = Backend(address, first.port)
    yield found
    for server in found.values():
        server.stop()


@pytest.fixture(scope="module")
def names():
    server = NameServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, load_program, names):
    """A mesh that asks that name server, and a client in it."""
    mesh = Mesh(tmp_path_factory.mktemp("names"), load_program, options=["--name-server", names.address])
    try:
        mesh.start()
        mesh.caller = mesh.client()
        mesh.meshed(mesh.caller, health="notListening")
        yield mesh
    finally:
        problems = mesh.stop()
    assert not problems, problems


def external(name, host, port, annotations=LOOPBACK, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": annotations},
            "spec": {"type": "ExternalName", "externalName": host,
                     "ports": [{"name": "http", "port": 80, "targetPort": port}], **spec}}


def resolved(mesh, service):
    """The condition of a Service, and the addresses in use."""
    status = json.loads(mesh.cli("get", "service", service, "-o", "json").stdout).get("status", {})
    condition, = [item for item in status.get("conditions", [{}]) if item.get("type", "Resolved") == "Resolved"]
    return condition.get("status"), condition.get("reason"), status.get("resolved", {}).get("addresses")


def until(mesh, service, *expected):
    """Waits until the Service says this of its name, and every proxy works by it."""
    def said():
        found = resolved(mesh, service)
        assert found == expected, found
        return True
    raw.eventually(said)
    mesh.settle()


def places(client, service, count=24):
    """Where requests to the service go; all of them must succeed."""
    found = []
    for _ in range(count):
        answer = client.get(f"http://{service}/")
        assert answer.status == 200, answer
        found.append(json.loads(answer.body)["at"])
    return set(found)


def test_answers_and_their_changes_are_the_endpoints_and_no_request_under_way_is_dropped(world, servers, names):
    port = servers["127.0.0.21"].port
    names.set("changing.test", "127.0.0.21", "127.0.0.22")
    world.apply(external("changing", "changing.test", port), policy("changing", loadBalancer={"algorithm": "RoundRobin"}))
    until(world, "changing", "True", "Answered", ["127.0.0.21", "127.0.0.22"])
    assert places(world.caller, "changing") == {"127.0.0.21", "127.0.0.22"}
    # By way of an alias, and only one is left.
    names.set("changing.test", "127.0.0.21", alias="other.test")
    until(world, "changing", "True", "Answered", ["127.0.0.21"])
    slow = []
    under_way = threading.Thread(target=lambda: slow.append(world.caller.get("http://changing/slow", seconds=120)))
    under_way.start()
    assert servers["127.0.0.21"].waiting.wait(60)
    names.set("changing.test", "127.0.0.22", "127.0.0.23")
    until(world, "changing", "True", "Answered", ["127.0.0.22", "127.0.0.23"])
    assert places(world.caller, "changing") == {"127.0.0.22", "127.0.0.23"}
    servers["127.0.0.21"].let_go.set()
    under_way.join(60)
    assert slow and slow[0].status == 200 and json.loads(slow[0].body)["at"] == "127.0.0.21", slow
    # Both ends of a change tell: the addresses, and what they stand for.
    text = world.cli("describe", "changing").stdout
    assert "Name        changing.test" in text and "127.0.0.23" in text and "Resolved    yes" in text, text
    assert "-> changing.test" in world.cli("get", "services").stdout


def test_ipv6_addresses_are_endpoints_where_they_are_asked_for(world, servers, names):
    names.set("both.test", "127.0.0.21", "::1")
    world.apply(external("six", "both.test", servers["::1"].port, ipFamilies=["IPv6"]),
                external("four", "both.test", servers["::1"].port, ipFamilies=["IPv4"]))
    until(world, "six", "True", "Answered", ["::1"])
    until(world, "four", "True", "Answered", ["127.0.0.21"])
    assert places(world.caller, "six") == {"::1"}
    assert places(world.caller, "four") == {"127.0.0.21"}


def test_the_host_is_the_callers_unless_a_route_rewrites_it(world, servers, names):
    names.set("api.example.test", "127.0.0.22")
    world.apply(external("hosted", "api.example.test", servers["127.0.0.22"].port))
    until(world, "hosted", "True", "Answered", ["127.0.0.22"])
    assert json.loads(world.caller.get("http://hosted/").body)["host"] == "hosted"
    world.apply(route("hosted", {
        "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "api.example.test"}}],
        "backendRefs": [{"name": "hosted", "port": 80}]}))
    assert json.loads(world.caller.get("http://hosted/").body)["host"] == "api.example.test"


FAULTS = {"servfail": (SERVFAIL, "NoAnswer"), "refused": (REFUSED, "NoAnswer"), "silent": (None, "NoAnswer"),
          "nxdomain": (NXDOMAIN, "NameNotFound"), "empty": ("empty", "NoAddresses")}


def test_name_servers_that_fail_take_nothing_away(world, servers, names):
    """SERVFAIL, refusal, silence, a name that is gone or has no address any more: the last answer is kept, and said."""
    port = servers["127.0.0.21"].port
    for name in FAULTS:
        names.set(f"{name}.test", "127.0.0.21")
    world.apply(*(external(name, f"{name}.test", port, ipFamilies=["IPv4"]) for name in FAULTS))
    for name in FAULTS:
        until(world, name, "True", "Answered", ["127.0.0.21"])
    for name, (fault, _) in FAULTS.items():
        if fault == "empty":
            names.set(f"{name}.test")
        else:
            names.fail(f"{name}.test", fault)
    for name, (_, reason) in FAULTS.items():
        until(world, name, "False", reason, ["127.0.0.21"])
        assert places(world.caller, name) == {"127.0.0.21"}
    findings = {(item["code"], item["object"]): item for item in
                json.loads(world.cli("analyze", "-o", "json", check=False).stdout)["items"]}
    for name in FAULTS:
        finding = findings["AP505", name]
        assert finding["path"] == "spec.externalName" and finding["mend"] and "stay in use" in finding["message"], finding
    checked = {item["subject"]: item for item in
               json.loads(world.cli("check", "-o", "json", check=False).stdout)["findings"]}
    for name in FAULTS:
        assert "stay in use" in checked[f"service {name}"]["message"], checked
    with open(world.control_plane.log) as file:
        log = file.read()
    for name in FAULTS:
        told = [line for line in log.splitlines() if f"The name {name}.test " in line]
        assert len(told) == 1 and "its last addresses stay in use" in told[0], told
    # And when they are back, what they say counts.
    for name in FAULTS:
        names.set(f"{name}.test", "127.0.0.23")
    for name in FAULTS:
        until(world, name, "True", "Answered", ["127.0.0.23"])
        assert places(world.caller, name) == {"127.0.0.23"}


def test_a_name_that_was_never_answered_has_no_endpoint_and_heals(world, servers, names):
    world.apply(external("never", "never.test", servers["127.0.0.21"].port, ipFamilies=["IPv4"]))
    until(world, "never", "False", "NameNotFound", [])
    answer = world.caller.get("http://never/")
    assert (answer.status, answer.reason) == (503, "no_endpoint"), answer

    def explained():
        told = json.loads(world.cli("why", "--to", "default/never", "--reason", "no_endpoint", "-o", "json").stdout)
        assert (told["object"]["kind"], told["object"]["name"]) == ("Service", "never"), told
        assert "never.test does not exist" in told["object"]["detail"], told
        return True
    raw.eventually(explained)
    names.set("never.test", "127.0.0.21")
    until(world, "never", "True", "Answered", ["127.0.0.21"])
    assert places(world.caller, "never") == {"127.0.0.21"}
    with open(os.path.join(world.data, "api-token")) as file:
        token = [("authorization", f"Bearer {file.read().strip()}")]
    text = raw.get(world.api_port, "/metrics", host="localhost", fields=token).body.decode()
    counts = dict(re.findall(r'^apus_name_lookups_total\{name="never.test",result="(\w+)"\} (\d+)$', text, re.M))
    assert int(counts["Answered"]) >= 1 and int(counts["NameNotFound"]) >= 1 and counts["NoAddresses"] == "0", counts
    age = re.search(r'^apus_name_answer_age_seconds\{name="never.test"\} ([\d.e-]+)$', text, re.M)
    assert 0 <= float(age[1]) < 600, age
    assert raw.get(world.api_port, "/metrics", host="localhost").status == 401


def test_answers_lead_to_nothing_that_listens_for_its_own_machine(world, servers, names):
    """A name may be anybody's: what its owner answers must not lead to this machine's own ports, or to a link's."""
    names.set("rebinding.test", "127.0.0.21", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.21", "::1")
    world.apply(external("rebinding", "rebinding.test", servers["127.0.0.21"].port, annotations={}))
    until(world, "rebinding", "False", "AddressesRefused", [])
    answer = world.caller.get("http://rebinding/")
    assert (answer.status, answer.reason) == (503, "no_endpoint"), answer


def test_a_long_answer_is_asked_for_by_tcp_and_bounded(world, names):
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    names.set("many.test", *addresses, ttl=300)
    names.set("brief.test", "127.1.0.1", ttl=1)
    world.apply(external("many", "many.test", 9), external("brief", "brief.test", 9))
    until(world, "many", "True", "Answered", sorted(addresses)[:100])
    assert names.tcp_questions > 0
    status = json.loads(world.cli("get", "service", "many", "-o", "json").stdout)["status"]
    assert "900 more addresses are left out" in status["conditions"][0]["message"], status
    # An answer that holds for five minutes is not asked for again meanwhile.
    asked = names.asked("many.test")
    before = names.asked("brief.test")
    raw.eventually(lambda: names.asked("brief.test") >= before + 4)
    assert names.asked("many.test") == asked


def test_tls_to_a_name_is_verified_as_the_policy_says(world, names):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.secure.test").configure_cert(context)
    asked_for = []
    context.sni_callback = lambda _, name, __: asked_for.append(name)
    server = Backend("127.0.0.24", context=context)

    def tls_policy(hostname):
        return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "secure"},
                "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "secure"}],
                         "validation": {"hostname": hostname, "caCertificateRefs": [
                             {"group": "", "kind": "ConfigMap", "name": "secure"}]}}}
    try:
        names.set("api.secure.test", "127.0.0.24")
        world.apply(
            external("secure", "api.secure.test", server.port),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "secure"},
             "data": {"ca.crt": authority.cert_pem.bytes().decode()}}, tls_policy("api.secure.test"))
        until(world, "secure", "True", "Answered", ["127.0.0.24"])
        assert places(world.caller, "secure") == {"127.0.0.24"}
        assert asked_for and set(asked_for) == {"api.secure.test"}
        world.apply(tls_policy("elsewhere.test"))
        answer = world.caller.get("http://secure/")
        assert (answer.status, answer.reason) == (503, "tls_identity_mismatch"), answer
    finally:
        server.stop()


def test_a_control_plane_that_restarts_while_dns_is_silent_takes_nothing_away(tmp_path, load_program, servers):
    # One that is reached by IPv6.
    names = NameServer("::1")
    names.set("kept.test", "127.0.0.21")
    mesh = Mesh(tmp_path, load_program, options=["--name-server", names.address])
    try:
        mesh.start()
        client = mesh.client()
        mesh.apply(external("kept", "kept.test", servers["127.0.0.21"].port, ipFamilies=["IPv4"]))
        until(mesh, "kept", "True", "Answered", ["127.0.0.21"])
        mesh.settle()
        assert places(client, "kept") == {"127.0.0.21"}
        names.fail("kept.test", None)
        mesh.kill_control_plane()
        before = names.asked("kept.test")
        mesh.start()
        # The proxies work by what the new control plane says, which has asked and got no answer.
        raw.eventually(lambda: client.uid in mesh.proxies())
        until(mesh, "kept", "False", "NoAnswer", ["127.0.0.21"])
        assert names.asked("kept.test") > before
        assert places(client, "kept") == {"127.0.0.21"}
        dump = json.loads(client.admin("/config_dump").body)
        assert [item["address"] for item in dump["workloads"] if "default/kept" in item.get("services", [])] == [
            "127.0.0.21"], dump["workloads"]
    finally:
        problems = mesh.stop()
        names.stop()
    assert not problems, problems


def test_what_cannot_be_is_refused(world):
    refused = world.cli("apply", "-f", "-", stdin=yaml.safe_dump(
        external("bad", "10.0.0.1", 80, selector={"app": "bad"})), check=False)
    assert refused.returncode != 0
    assert "spec.externalName" in refused.stderr and "EndpointSlice" in refused.stderr, refused.stderr
    assert "spec.selector" in refused.stderr, refused.stderr
    for text in ("nonsense", "[fe80::g]:53", "127.0.0.1:0x35"):
        answer = world.cli("up", "--name-server", text, check=False)
        assert answer.returncode == 2 and "--name-server" in answer.stderr, answer.stderr
