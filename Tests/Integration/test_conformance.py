"""What the Gateway API's conformance tests for meshes assert (conformance/tests/mesh of its repository), on live traffic
through real sidecars: every object that they apply, and every answer that they expect."""

import json
from urllib.parse import urlsplit

import grpc
import pytest

from conftest import run_mesh
from support import gamma, raw
from support.gamma import CONSUMER, MESH
from support.pods import Pods
from support.processes import free_port


@pytest.fixture(scope="module")
def echoes(tmp_path_factory, load_program):
    """The echo services, each with its pods; no route is attached yet."""
    for mesh in run_mesh(tmp_path_factory.mktemp("gamma"), load_program):
        mesh.apply(*gamma.objects("manifests"))
        pods = Pods(mesh, tmp_path_factory.mktemp("pods"))
        try:
            pods.upstream = {"echo-v1": free_port(), "echo-v2": free_port(), "echo:7070": free_port()}
            pods.start("echo", "v1", MESH, pods.upstream)
            pods.start("echo", "v2", MESH)
            pods.start("echo", "v1", CONSUMER)
            for version in ("v1", "v2"):
                answered(pods.pods[MESH, "echo-v1"], f"http://echo-{version}/", backend=f"echo-{version}")
            yield pods
        finally:
            problems = pods.stop()
        assert not problems, problems


@pytest.fixture
def applied(request, echoes):
    """The objects named by the test, applied for its length; no earlier test's are left in force."""
    mesh, names = echoes.mesh, request.param if isinstance(request.param, tuple) else (request.param,)
    objects = [found for name in names for found in gamma.objects(name)]
    mesh.apply(*objects)
    for found in objects:
        accepted(mesh, found)
    for pod in echoes.pods.values():
        for metadata in (found["metadata"] for found in objects):
            name = f"{metadata['namespace']}/{metadata['name']}"
            if metadata["namespace"] in (MESH, pod.namespace):
                raw.eventually(lambda pod=pod, name=name: f'"{name}"' in configuration(pod), 15)
    yield echoes
    for found in objects:
        metadata = found["metadata"]
        mesh.cli("delete", found["kind"].lower(), metadata["name"], "-n", metadata["namespace"])
    for pod in echoes.pods.values():
        raw.eventually(lambda pod=pod: '"route":' not in configuration(pod).replace(" ", ""), 15)


def configuration(pod):
    """What the pod's proxy works from, as JSON text."""
    return raw.get(pod.admin, "/config_dump", host="localhost").body.decode()


def applies(*names):
    return pytest.mark.parametrize("applied", [names], indirect=True, ids=["+".join(names)])


def accepted(mesh, found):
    """Waits until the status says that the route is in force and everything it refers to is there."""
    metadata = found["metadata"]

    def conditions():
        text = mesh.cli("get", found["kind"].lower(), metadata["name"], "-n", metadata["namespace"], "-o", "json").stdout
        parent, = json.loads(text)["status"]["parents"]
        return {item["type"]: item["status"] for item in parent["conditions"]}
    missing = any(backend["name"] == "echo-v3" for rule in found["spec"]["rules"] for backend in
                  rule.get("backendRefs", ()))
    expected = {"Accepted": "True", "ResolvedRefs": "False" if missing else "True"}
    raw.eventually(lambda: conditions() == expected, 15)


def answered(client, url, status=200, backend=None, method="GET", fields=(), host=None, response=None, absent=(),
             received=None, received_absent=(), path=None):
    """Waits for three answers in a row as they are to be, as the standard's tests do; the last is returned."""
    def check():
        answer = client.request(url, method, list(fields), host)
        assert answer.status == status, answer
        for name, value in (response or {}).items():
            assert answer.header(name) == value, answer
        for name in absent:
            assert answer.header(name) is None, answer
        if backend or received or path:
            seen = json.loads(answer.body)
            assert backend in (None, seen["pod"]), seen
            assert path in (None, seen["path"]), seen
            for name, value in (received or {}).items():
                assert ",".join(seen["headers"].get(name.lower(), [])).replace(", ", ",") == value, seen
            for name in received_absent:
                assert name.lower() not in seen["headers"], seen
        return answer
    return raw.eventually(lambda: [check() for _ in range(3)][-1], 15)


def redirected(client, path, status, host="echo", location_path=None, scheme="http", port=None):
    """The answer is a redirect to exactly this place."""
    answer = answered(client, f"http://echo{path}", status)
    location = urlsplit(answer.header("location"))
    default = 443 if scheme == "https" else 80
    assert (location.scheme, location.hostname, location.port or default, location.path) == \
        (scheme, host, port or default, location_path or path), location


@pytest.fixture
def client(echoes):
    return echoes.pods[MESH, "echo-v1"]


def test_mesh_basic(client):
    answered(client, "http://echo/")


@applies("mesh-split")
def test_mesh_split(applied, client):
    answered(client, "http://echo/v1", backend="echo-v1")
    answered(client, "http://echo/v2", backend="echo-v2")


@applies("mesh-ports")
def test_mesh_ports(applied, client):
    answered(client, "http://echo-v1/", backend="echo-v1", response={"x-header-set": "v1"})
    answered(client, "http://echo-v1:8080/", backend="echo-v1", absent=["x-header-set"])
    answered(client, "http://echo-v2/", backend="echo-v2", response={"x-header-set": "v2"})
    answered(client, "http://echo-v2:8080/", backend="echo-v2", response={"x-header-set": "v2"})


@applies("mesh-frontend")
def test_mesh_frontend(applied, client):
    answered(client, "http://echo-v2/", backend="echo-v2", response={"x-header-set": "set"})
    # A pod's own address is no frontend of the service: the application asks it past the proxy, and no route applies.
    pod = applied.pods[MESH, "echo-v2"]
    with raw.Connection(8080, address=pod.address) as connection:
        connection.request("GET", "/", host=f"{pod.address}:8080")
        answer = connection.response()
    assert answer.status == 200 and json.loads(answer.body)["pod"] == "echo-v2"
    assert answer.header("x-header-set") is None


@applies("mesh-frontend")
def test_mesh_frontend_hostname(applied, client):
    """Where a connection leads is said by where it was opened to, and not by the Host field."""
    for service, host, expected in (("echo-v2", "echo-v1", "set"), ("echo-v1", "echo-v2", None)):
        def check(service=service, host=host, expected=expected):
            answer = raw.get(applied.upstream[service], "/", host=host)
            assert answer.status == 200 and json.loads(answer.body)["pod"] == service, answer
            assert answer.header("x-header-set") == expected, answer
            return True
        raw.eventually(check)


@applies("mesh-consumer-route")
def test_mesh_consumer_route(applied, client):
    consumer = applied.pods[CONSUMER, "echo-v1"]
    url = f"http://echo-v1.{MESH}/"
    answered(consumer, url, backend="echo-v1", response={"x-header-set": "set"})
    answered(client, url, backend="echo-v1", absent=["x-header-set"])


@applies("httproute-simple-same-namespace")
def test_http_route_simple_same_namespace(applied, client):
    answered(client, "http://echo/", backend="echo-v1")


@applies("httproute-matching")
def test_http_route_matching(applied, client):
    for path, version, backend in (
            ("/", None, "echo-v1"), ("/example", None, "echo-v1"), ("/", "one", "echo-v1"), ("/v2", None, "echo-v2"),
            ("/v2/example", None, "echo-v2"), ("/", "two", "echo-v2"), ("/v2/", None, "echo-v2"),
            ("/v2example", None, "echo-v1"), ("/foo/v2/example", None, "echo-v1")):
        answered(client, f"http://echo{path}", backend=backend, fields=[("Version", version)] if version else ())


@applies("httproute-named-rule")
def test_http_route_named_rule(applied, client):
    answered(client, "http://echo/named", backend="echo-v1", path="/named")
    answered(client, "http://echo/unnamed", backend="echo-v2", path="/unnamed")


@applies("httproute-query-param-matching")
def test_http_route_query_param_matching(applied, client):
    for target, backend, version in (
            ("/?animal=whale", "echo-v1", None), ("/?animal=dolphin", "echo-v2", None),
            ("/?animal=whale&otherparam=irrelevant", "echo-v1", None), ("/?animal=dolphin&color=yellow", "echo-v2", None),
            ("/?color=blue", None, None), ("/?animal=dog", None, None), ("/?animal=whaledolphin", None, None),
            ("/", None, None), ("/path1?animal=whale", "echo-v1", None), ("/?animal=whale", "echo-v2", "one"),
            ("/path3?animal=shark", "echo-v1", None), ("/path4?animal=kraken", "echo-v1", "three"),
            ("/?animal=shark", None, None), ("/path4?animal=kraken", None, None),
            ("/path5?animal=hydra", "echo-v1", None)):
        answered(client, f"http://echo{target}", 200 if backend else 404, backend,
                 fields=[("version", version)] if version else ())


@applies("httproute-weight")
def test_http_route_weight(applied, client):
    answered(client, "http://echo/")
    with raw.Connection(client.forward) as connection:
        found = []
        for _ in range(1000):
            connection.request("GET", "http://echo/", host="echo")
            found.append(json.loads(connection.response().body)["pod"])
    # Four standard deviations of a binomial distribution of 1000 at 0.7.
    assert abs(found.count("echo-v1") - 700) < 58 and set(found) == {"echo-v1", "echo-v2"}, found.count("echo-v1")


EDIT_CASES = (
    ("/set", {"Some-Other-Header": "val"}, {"Some-Other-Header": "val", "X-Header-Set": "set-overwrites-values"}, ()),
    ("/set", {"Some-Other-Header": "val", "X-Header-Set": "some-other-value"},
     {"Some-Other-Header": "val", "X-Header-Set": "set-overwrites-values"}, ()),
    ("/add", {"Some-Other-Header": "val"}, {"Some-Other-Header": "val", "X-Header-Add": "add-appends-values"}, ()),
    ("/add", {"X-Header-Add": "some-other-value"}, {"X-Header-Add": "some-other-value,add-appends-values"}, ()),
    ("/remove", {"X-Header-Remove": "val"}, {}, ("X-Header-Remove",)),
    ("/multiple",
     {"X-Header-Set-2": "set-val-2", "X-Header-Add-2": "add-val-2", "X-Header-Remove-2": "remove-val-2",
      "Another-Header": "another-header-val"},
     {"X-Header-Set-1": "header-set-1", "X-Header-Set-2": "header-set-2", "X-Header-Add-1": "header-add-1",
      "X-Header-Add-2": "add-val-2,header-add-2", "X-Header-Add-3": "header-add-3",
      "Another-Header": "another-header-val"}, ("X-Header-Remove-1", "X-Header-Remove-2")),
    ("/case-insensitivity",
     {"x-header-set": "original-val-set", "x-header-add": "original-val-add", "x-header-remove": "original-val-remove",
      "Another-Header": "another-header-val"},
     {"X-Header-Set": "header-set", "X-Header-Add": "original-val-add,header-add",
      "Another-Header": "another-header-val"}, ("X-Header-Remove",)))


@pytest.mark.parametrize(
    "applied", ["httproute-request-header-modifier", "httproute-request-header-modifier-backend"], indirect=True)
def test_http_route_request_header_modifier(applied, client):
    for path, sent, received, absent in EDIT_CASES:
        answered(client, f"http://echo{path}", backend="echo-v1", path=path, fields=sent.items(), received=received,
                 received_absent=absent)


@applies("httproute-rewrite-path")
def test_http_route_rewrite_path(applied, client):
    for path, rewritten in (("/prefix/one/two", "/one/two"), ("/strip-prefix/three", "/three"), ("/strip-prefix", "/"),
                            ("/full/one/two", "/one")):
        answered(client, f"http://echo{path}", backend="echo-v1", path=rewritten)
    sent = {"X-Header-Remove": "remove-val", "X-Header-Add-Append": "append-val-1", "X-Header-Set": "set-val"}
    received = {"X-Header-Add": "header-val-1", "X-Header-Add-Append": "append-val-1,header-val-2",
                "X-Header-Set": "set-overwrites-values"}
    for path, rewritten in (("/full/rewrite-path-and-modify-headers/test", "/test"),
                            ("/prefix/rewrite-path-and-modify-headers/one", "/prefix/one")):
        answered(client, f"http://echo{path}", backend="echo-v1", path=rewritten, fields=sent.items(), received=received,
                 received_absent=["X-Header-Remove"])


@pytest.mark.parametrize("applied, path, status", [
    ("httproute-303-redirect", "/redirect", 303), ("httproute-307-redirect", "/temporary", 307),
    ("httproute-308-redirect", "/permanent", 308)], indirect=["applied"])
def test_http_route_redirect_statuses(applied, client, path, status):
    redirected(client, path, status)


@applies("httproute-redirect-host-and-status")
def test_http_route_redirect_host_and_status(applied, client):
    redirected(client, "/hostname-redirect", 302, "example.org")
    redirected(client, "/host-and-status", 301, "example.org")


@applies("httproute-redirect-path")
def test_http_route_redirect_path(applied, client):
    for path, status, host, target in (
            ("/original-prefix/lemon", 302, "echo", "/replacement-prefix/lemon"),
            ("/full/path/original", 302, "echo", "/full-path-replacement"),
            ("/path-and-host", 302, "example.org", "/replacement-prefix"),
            ("/path-and-status", 301, "echo", "/replacement-prefix"),
            ("/full-path-and-host", 302, "example.org", "/replacement-full"),
            ("/full-path-and-status", 301, "echo", "/replacement-full")):
        redirected(client, path, status, host, target)


@applies("httproute-redirect-port")
def test_http_route_redirect_port(applied, client):
    for path, status, host in (("/port", 302, "echo"), ("/port-and-host", 302, "example.org"),
                               ("/port-and-status", 301, "echo"), ("/port-and-host-and-status", 302, "example.org")):
        redirected(client, path, status, host, port=8083)


@applies("httproute-redirect-scheme")
def test_http_route_redirect_scheme(applied, client):
    for path, status, host in (("/scheme", 302, "echo"), ("/scheme-and-host", 302, "example.org"),
                               ("/scheme-and-status", 301, "echo"), ("/scheme-and-host-and-status", 302, "example.org")):
        redirected(client, path, status, host, scheme="https")


# gRPC.

class Calls:
    """Calls of a pod's application to `echo:7070`: by a port that leads there, or by its forward proxy (CONNECT), which
    is how gRPC libraries go where HTTP_PROXY is set."""

    def __init__(self, port=None, forward=None):
        options = [("grpc.default_authority", "echo:7070"), ("grpc.use_local_subchannel_pool", 1)]
        options.append(("grpc.http_proxy", f"http://127.0.0.1:{forward}") if forward else ("grpc.enable_http_proxy", 0))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}" if port else "dns:///echo:7070", options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, metadata=(), method="/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo"):
        answer = self.channel.unary_unary(method)(b"", metadata=list(metadata), timeout=10)
        return json.loads(answer)

    def eventually(self, check):
        def attempt():
            try:
                return check()
            except grpc.RpcError as error:
                raise AssertionError(str(error)) from None
        raw.eventually(attempt, 20)
        return attempt()


@applies("grpcroute-request-header-modifier")
def test_grpc_route_request_header_modifier(applied, client):
    cases = (
        ("set", "echo-v1", {"some-other-header": "this-header-should-be-set",
                            "x-header-set": "this-value-should-be-overwritten"},
         {"some-other-header": ["this-header-should-be-set"], "x-header-set": ["set-overwrites-values"]}, ()),
        ("add", "echo-v1", {"x-header-add": "this-value-should-be-appended"},
         {"x-header-add": ["this-value-should-be-appended", "add-appends-values"]}, ()),
        ("remove", "echo-v1", {"x-header-remove": "this-should-be-removed"}, {}, ("x-header-remove",)),
        ("multi", "echo-v2", {"x-header-set-2": "set-header-2", "x-header-add-2": "add-header-2",
                              "x-header-remove-2": "should-be-removed-2"},
         {"x-header-set-1": ["header-set-1"], "x-header-set-2": ["header-set-2"], "x-header-add-1": ["header-add-1"],
          "x-header-add-2": ["add-header-2", "header-add-2"]}, ("x-header-remove-1", "x-header-remove-2")))
    with Calls(applied.upstream["echo:7070"]) as calls:
        for case, backend, sent, received, absent in cases:
            def check(case=case, backend=backend, sent=sent, received=received, absent=absent):
                seen = calls.call([("x-test-case", case), *sent.items()])
                assert seen["pod"] == backend and seen["headers"]["x-test-case"] == [case], seen
                for name, values in received.items():
                    assert ",".join(seen["headers"].get(name, [])) == ",".join(values), seen
                assert not set(absent) & set(seen["headers"]), seen
                return True
            calls.eventually(check)


@applies("grpcroute-weight")
def test_grpc_route_weight(applied, client):
    with Calls(applied.upstream["echo:7070"]) as calls:
        calls.eventually(lambda: {calls.call()["pod"] for _ in range(20)} == {"echo-v1", "echo-v2"})
        found = [calls.call()["pod"] for _ in range(500)]
    # Four standard deviations of a binomial distribution of 500 at 0.7.
    assert abs(found.count("echo-v1") - 350) < 41 and set(found) == {"echo-v1", "echo-v2"}, found.count("echo-v1")
