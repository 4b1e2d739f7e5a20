"""Weighted splits and matches, counted at the applications; changes of them under load."""

import json
import math
import statistics
import time

import pytest

from support import raw
from support.mesh import backend, route, version_service


@pytest.fixture
def versions(mesh, namespace):
    """A service of two versions, a client, and a Service for each version."""
    first = mesh.quick_server("catalog", "v1", namespace=namespace)
    second = mesh.quick_server("catalog", "v2", namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(version_service("catalog", "v1", namespace), version_service("catalog", "v2", namespace))
    mesh.meshed(first, second)
    return client, first, second


def split(namespace, first, second):
    return route("catalog", {"backendRefs": [backend("catalog-v1", first), backend("catalog-v2", second)]},
                 namespace=namespace)


def all_go_to(client, version):
    return all(client.get("http://catalog/probe").body == f"catalog-{version}\n".encode() for _ in range(20))


def quiet(workload):
    """How much the application was asked, once that stands still."""
    before = workload.counts()["/steady"]
    time.sleep(0.2)
    return workload.counts()["/steady"] == before and before


def test_a_split_of_95_to_5_holds_over_20000_requests(mesh, namespace, versions):
    client, first, second = versions
    mesh.apply(split(namespace, 100, 0))
    assert all_go_to(client, "v1")
    mesh.apply(split(namespace, 0, 100))
    assert all_go_to(client, "v2")
    mesh.apply(split(namespace, 95, 5))
    requests = 20_000
    with client.load("http://catalog/counted", connections=16, requests=requests) as load:
        load.wait()
    load.assert_all_answered(at_least=requests)
    on_second = second.counts().get("/counted", 0)
    assert first.counts()["/counted"] + on_second == requests, "each request reached one application once"
    expected, sigma = requests * 0.05, math.sqrt(requests * 0.05 * 0.95)
    assert abs(on_second - expected) <= 5 * sigma, f"{on_second} of {requests} went to the canary"


def test_a_header_match_sends_exactly_the_marked_requests(mesh, namespace, versions):
    client, first, second = versions
    mesh.apply(route(
        "catalog",
        {"matches": [{"headers": [{"name": "x-canary", "value": "yes"}]}], "backendRefs": [backend("catalog-v2")]},
        {"backendRefs": [backend("catalog-v1")]}, namespace=namespace))
    with client.load("http://catalog/marked", requests=2000, header="X-Canary: yes") as marked, \
            client.load("http://catalog/almost", requests=2000, header="x-canary: yes!") as almost, \
            client.load("http://catalog/unmarked", requests=2000) as unmarked:
        for load in (marked, almost, unmarked):
            load.wait()
            load.assert_all_answered(at_least=2000)
    assert second.counts().get("/marked") == 2000 and "/marked" not in first.counts()
    for path in ("/almost", "/unmarked"):
        assert first.counts().get(path) == 2000 and path not in second.counts()


def test_changing_weights_under_load_fails_nothing(mesh, namespace, versions):
    client, first, second = versions
    with client.load("http://catalog/steady", connections=16) as load:
        for step in range(25):
            mesh.apply(split(namespace, 100 - 4 * step, 4 * step), wait=False)
        mesh.apply(split(namespace, 0, 100))
        assert all_go_to(client, "v2")
        # What began before the change is under way until it is answered.
        before = raw.eventually(lambda: quiet(first))
        on_second = second.counts()["/steady"]
        raw.eventually(lambda: second.counts()["/steady"] > on_second + 200, 30)
        assert first.counts()["/steady"] == before, "nothing goes to a version of weight zero"
    load.assert_all_answered(at_least=1000)
    assert first.counts()["/steady"] > 0 and second.counts()["/steady"] > 0


def test_a_changed_weight_is_in_force_at_the_sidecar_within_a_hundred_milliseconds(mesh, namespace, versions):
    """From the answer to an apply to the first request that goes the new way, over many changes.

    A machine that is busy with other things delays some of them: it is the median that must be within the hundred
    milliseconds. What is measured is in docs/benchmarks.md.
    """
    client, _, _ = versions
    mesh.apply(split(namespace, 100, 0))
    times = []
    with raw.Connection(client.forward_port) as connection:
        for number in range(40):
            first, second, wanted = ((0, 100, b"catalog-v2\n"), (100, 0, b"catalog-v1\n"))[number % 2]
            status, answer = mesh.api("POST", "/apis/apus.dev/v1/apply", split(namespace, first, second))
            begin = time.monotonic()
            assert status == 200, answer
            while True:
                connection.request("GET", "http://catalog/probe", host="catalog")
                if connection.response().body == wanted:
                    break
                assert time.monotonic() - begin < 10, "the change never came"
                time.sleep(0.001)
            times.append(time.monotonic() - begin)
    print(f"in force after {min(times) * 1e3:.0f} ms at best, {statistics.median(times) * 1e3:.0f} ms in the middle, "
          f"{max(times) * 1e3:.0f} ms at worst")
    assert statistics.median(times) < 0.1, sorted(times)


def test_rules_match_rewrite_redirect_and_answer(mesh, namespace, versions):
    client, _, _ = versions
    mesh.apply(
        {"apiVersion": "apus.dev/v1", "kind": "DirectResponse", "metadata": {"name": "teapot", "namespace": namespace},
         "spec": {"status": 418, "body": "short and stout"}},
        route(
            "catalog",
            {"matches": [{"path": {"type": "Exact", "value": "/tea"}}], "filters": [
                {"type": "ExtensionRef",
                 "extensionRef": {"group": "apus.dev", "kind": "DirectResponse", "name": "teapot"}}]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}], "filters": [
                {"type": "RequestRedirect", "requestRedirect": {
                    "statusCode": 301, "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/api"}, "method": "GET"}], "filters": [
                {"type": "URLRewrite", "urlRewrite": {
                    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/headers"}}},
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "add": [{"name": "x-added", "value": "a"}], "set": [{"name": "x-set", "value": "b"}],
                    "remove": ["x-gone"]}},
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                    "set": [{"name": "x-answer", "value": "c"}]}}],
             "backendRefs": [backend("catalog-v2")]},
            {"matches": [{"queryParams": [{"name": "q", "value": "1"}]}], "backendRefs": [backend("catalog-v2")]},
            namespace=namespace))
    tea = client.get("http://catalog/tea")
    assert (tea.status, tea.body) == (418, b"short and stout")
    moved = client.get("http://catalog/old/page?x=1")
    assert moved.status == 301 and moved.header("location").endswith("/new/page?x=1"), moved
    answer = client.get("http://catalog/api/v1", fields=[("x-set", "old"), ("x-gone", "1")])
    seen = json.loads(answer.body)
    names = [(name.lower(), value) for name, value in seen["fields"]]
    assert answer.header("x-answer") == "c" and seen["target"] == "/headers/v1"
    assert ("x-added", "a") in names and ("x-set", "b") in names
    assert "x-gone" not in dict(names) and ("x-set", "old") not in names
    assert client.get("http://catalog/?q=1").body == b"catalog-v2\n"
    nothing = client.get("http://catalog/?q=2")
    assert nothing.status == 404 and nothing.reason == "no_route"
    assert client.get("http://catalog/oldest").reason == "no_route", "prefixes match whole path elements"


def test_a_route_that_cannot_work_is_reported_and_answered_with_500(mesh, namespace, versions):
    client, _, _ = versions
    mesh.apply(route("catalog", {"backendRefs": [backend("nowhere")]}, namespace=namespace))
    answer = client.get("http://catalog/")
    assert (answer.status, answer.reason) == (500, "backend_not_found")

    def reported():
        found = mesh.api("GET", f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/catalog")[1]
        return {c["type"]: c for parent in found["status"]["parents"] for c in parent["conditions"]}
    conditions = raw.eventually(reported)
    assert conditions["ResolvedRefs"]["status"] == "False"
    assert conditions["ResolvedRefs"]["reason"] == "BackendNotFound"
    assert conditions["Accepted"]["status"] == "True"


def test_a_backend_rewrites_and_copies_for_itself(mesh, namespace, versions):
    """URLRewrite and RequestMirror of one backend leave the other's requests alone."""
    first, second = (backend(f"catalog-{version}", weight=1) for version in ("v1", "v2"))
    copied = mesh.server("copied", namespace=namespace)
    second["filters"] = [
        {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.test", "path": {
            "type": "ReplacePrefixMatch", "replacePrefixMatch": "/headers"}}},
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copied", "port": 80}}}]
    mesh.apply(route("catalog", {"matches": [{"path": {"type": "PathPrefix", "value": "/status/204"}}],
                                 "backendRefs": [first, second]}, namespace=namespace))
    client = versions[0]

    mesh.meshed(copied)
    found = [client.get("http://catalog/status/204") for _ in range(60)]
    assert {answer.status for answer in found} == {200, 204}, found
    answers = [answer for answer in found if answer.status == 200]
    seen = json.loads(answers[0].body)
    assert seen["target"] == "/headers" and ["host", "inner.test"] in [
        [name.lower(), value] for name, value in seen["fields"]], seen
    raw.eventually(lambda: copied.counts().get("/headers", 0) >= len(answers))
    assert "/status/204" not in copied.counts()
