"""Configuration that is wrong: refused as a whole, with every fault named, and nothing changes."""

import json
import re
import threading

import pytest

from support import raw
from support.mesh import backend, route, version_service

SERVICE = """apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bad, namespace: %s}
spec:
  parentRefs: [{group: "", kind: Service, name: a}]
  rules:
"""


def state(mesh):
    """Everything the control plane holds, versions included."""
    found = {}
    for path in ("/api/v1/services", "/apis/gateway.networking.k8s.io/v1/httproutes",
                 "/apis/apus.dev/v1/trafficpolicies", "/apis/apus.dev/v1/peerauthentications"):
        status, answer = mesh.api("GET", path)
        assert status == 200, answer
        found[path] = [(i["metadata"]["namespace"], i["metadata"]["name"], i["metadata"]["resourceVersion"], i.get("spec"))
                       for i in answer["items"]]
    return found


def refused(mesh, namespace, text, *complaints):
    """Applies YAML beside a good object; it is refused as a whole, and each complaint (a regular expression) is told."""
    good = SERVICE % ("good", namespace)
    before = state(mesh)
    for document in (good + "---\n" + text, text):
        result = mesh.cli("apply", "-n", namespace, "-f", "-", stdin=document, check=False)
        assert result.returncode == 3, (result.returncode, result.stdout, result.stderr)
        told = result.stdout + result.stderr
        for complaint in complaints:
            assert re.search(complaint, told, re.IGNORECASE | re.DOTALL), f"not told: {complaint}\n{told}"
    assert state(mesh) == before, "something was applied all the same"


CASES = {
    "unknown field": (ROUTE + "  - {backendRefs: [{name: a, port: 80}], nonsense: 1}\n", ["rules\\[0\\].*nonsense"]),
    "misspelt field": (ROUTE + "  - {backendRef: [{name: a, port: 80}]}\n", ["backendRef.*backendRefs"]),
    "wrong type": (ROUTE + "  - {backendRefs: [{name: a, port: eighty}]}\n", ["rules\\[0\\].backendRefs\\[0\\].port"]),
    "list for a value": (ROUTE + "  - {backendRefs: [{name: [a], port: 80}]}\n", ["backendRefs\\[0\\].name"]),
    "value for a list": (ROUTE + "  - {backendRefs: 5}\n", ["backendRefs"]),
    "port out of range": (ROUTE + "  - {backendRefs: [{name: a, port: 99999}]}\n", ["port.*65535"]),
    "negative weight": (ROUTE + "  - {backendRefs: [{name: a, port: 80, weight: -1}]}\n", ["weight"]),
    "bad path": (ROUTE + "  - {matches: [{path: {type: Exact, value: no-slash}}]}\n", ["path.value"]),
    "bad regex": (ROUTE + "  - {matches: [{path: {type: RegularExpression, value: 'a(b'}}]}\n", ["path"]),
    "regex that explodes": (
        ROUTE + "  - {matches: [{path: {type: RegularExpression, value: '((((a{1,1000}){1,1000}){1,1000}){1,1000})'}}]}\n",
        ["path"]),
    "bad enum": (ROUTE + "  - {matches: [{path: {type: Prefix, value: /}}]}\n", ["PathPrefix"]),
    "bad duration": (ROUTE + "  - {timeouts: {request: soon}, backendRefs: [{name: a, port: 80}]}\n", ["timeouts.request"]),
    "timeouts that contradict": (
        ROUTE + "  - {timeouts: {request: 1s, backendRequest: 5s}, backendRefs: [{name: a, port: 80}]}\n", ["backendRequest"]),
    "bad header name": (
        ROUTE + "  - {matches: [{headers: [{name: 'a b', value: c}]}], backendRefs: [{name: a, port: 80}]}\n", ["headers"]),
    "missing name": ("apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {ports: [{port: 80}]}\n", ["metadata.name"]),
    "bad name": ("apiVersion: v1\nkind: Service\nmetadata: {name: Not_A_Name}\nspec: {ports: [{port: 80}]}\n", ["metadata.name"]),
    "duplicate port": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: twice}\nspec: {ports: [{name: a, port: 80}, {name: a, port: 80}]}\n",
        ["ports\\[1\\]"]),
    "unknown kind": ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", ["Pod"]),
    "unknown version": ("apiVersion: gateway.networking.k8s.io/v9\nkind: HTTPRoute\nmetadata: {name: x}\n", ["v9"]),
    "no kind": ("apiVersion: v1\nmetadata: {name: x}\n", ["kind"]),
    "not an object": ("- 1\n- 2\n", ["(object|mapping)"]),
    "not yaml": ("a: [1, 2\nb: }{\n", ["line"]),
    "tab as indentation": ("apiVersion: v1\nkind: Service\nmetadata:\n\tname: x\n", ["line"]),
    "the same key twice": ("apiVersion: v1\nkind: Service\nkind: Service\nmetadata: {name: x}\n", ["kind|twice|duplicate"]),
    "the same object twice": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 81}]}\n", ["twice|duplicate|already|more than once"]),
    "policy without target": (
        "apiVersion: apus.dev/v1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec: {retry: {attempts: 99}}\n",
        ["targetRefs", "retry.attempts"]),
    "weights that are all zero": (
        ROUTE + "  - {backendRefs: [{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 0}]}\n", ["weight"]),
    "bad mode": ("apiVersion: apus.dev/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mode: OPEN}\n", ["STRICT"]),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_with_the_fault_named(mesh, namespace, case):
    text, complaints = CASES[case]
    refused(mesh, namespace, text % namespace if "%s" in text else text, *complaints)


def test_every_violation_is_told_at_once(mesh, namespace):
    refused(mesh, namespace, ROUTE % namespace + """  - matches: [{path: {type: Wrong, value: x}}]
    backendRefs: [{name: a, port: 0, weight: -5}, {port: 80}]
    extra: true
  - timeouts: {request: never}
""", "rules\\[0\\].matches\\[0\\].path.type", "backendRefs\\[0\\].port", "backendRefs\\[0\\].weight",
            "backendRefs\\[1\\].name", "extra", "rules\\[1\\].timeouts.request")


def test_violations_are_told_for_every_document(mesh, namespace):
    refused(mesh, namespace,
            "apiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec: {ports: [{port: 0}]}\n---\n"
            "apiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {ports: [{port: 99999}]}\n", "one", "two")


def test_an_alias_bomb_is_refused_at_once(mesh, namespace):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    refused(mesh, namespace, "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n" + "\n".join(lines) + "\n", "alias")
    refused(mesh, namespace, "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: &a {ports: [*a]}\n", "anchor")


def test_binary_junk_and_deep_nesting_are_refused(mesh, namespace):
    for body in (bytes(range(256)) * 20, b"\xff\xfe\x00", b"\x00" * 100, b"[" * 100_000, b"{a: " * 50_000,
                 b'{"a":' * 50_000):
        before = state(mesh)
        status, answer = mesh.api("POST", f"/apis/apus.dev/v1/apply?namespace={namespace}", body)
        assert status in (400, 413, 422) and answer["kind"] == "Status" and answer["message"], answer
        assert state(mesh) == before


def test_a_document_of_ten_megabytes_is_refused(mesh, namespace):
    before = state(mesh)
    body = (SERVICE % ("large", namespace)).encode() + b"# " + b"x" * 10_000_000 + b"\n"
    with open(f"{mesh.data}/api-token") as file:
        token = file.read().strip()

    def send(connection):
        try:
            connection.request("POST", f"/apis/apus.dev/v1/apply?namespace={namespace}",
                               [("Authorization", f"Bearer {token}")], body, host="localhost")
        except OSError:
            pass  # refused before all of it was sent
    with raw.Connection(mesh.api_port, 20) as connection:
        threading.Thread(target=send, args=(connection,), daemon=True).start()
        answer = connection.response()
    assert answer.status == 413 and json.loads(answer.body)["kind"] == "Status", answer
    assert state(mesh) == before


def test_the_last_good_configuration_stays_in_force(mesh, namespace):
    first, second = (mesh.quick_server("a", v, namespace=namespace) for v in ("v1", "v2"))
    client = mesh.client(namespace=namespace)
    mesh.apply(version_service("a", "v1", namespace), version_service("a", "v2", namespace),
               route("a", {"backendRefs": [backend("a-v2")]}, namespace=namespace))
    mesh.meshed(first, second)
    assert all(client.get("http://a/").body == b"a-v2\n" for _ in range(10))
    before = first.counts().get("/", 0)
    refused(mesh, namespace, ROUTE % namespace + "  - {backendRefs: [{name: a-v1, port: nonsense}]}\n", "port")
    with client.load("http://a/", requests=500) as load:
        load.wait()
    load.assert_all_answered(at_least=500)
    assert first.counts().get("/", 0) == before and second.counts()["/"] >= 500


def test_routes_that_name_each_other_end_at_endpoints(mesh, namespace):
    """A backend's own routes are not asked, so that a circle of routes is none for requests."""
    servers = [mesh.quick_server(name, namespace=namespace) for name in ("a", "b")]
    client = mesh.client(namespace=namespace)
    mesh.apply(route("a", {"backendRefs": [backend("b")]}, namespace=namespace),
               route("b", {"backendRefs": [backend("a")]}, namespace=namespace))
    mesh.meshed(*servers)
    assert [client.get(f"http://{name}/").body for name in ("a", "b")] == [b"b\n", b"a\n"]


def test_a_status_lists_causes_as_kubernetes_does(mesh, namespace):
    body = json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": namespace},
                       "spec": {"ports": [{"port": 0}], "unknown": 1}}).encode()
    status, answer = mesh.api("POST", f"/api/v1/namespaces/{namespace}/services", body)
    assert status == 422 and answer["kind"] == "Status" and answer["status"] == "Failure", answer
    causes = {cause["field"]: cause for cause in answer["details"]["causes"]}
    assert {"spec.ports[0].port", "spec.unknown"} <= set(causes), causes
    assert all(cause["message"] and cause["reason"] for cause in causes.values())
