"""The figures of a service while its route is made: each request is counted once, for what was asked for, whoever reports."""

import json
import re

from support import raw
from support.mesh import backend, route, version_service

WINDOW = 300


def figures(mesh, space):
    """What is told of `catalog`, by each way of asking."""
    def traffic(by, to="catalog", source=""):
        items = mesh.api("GET", f"/apis/apus.dev/v1/traffic?by={by}&to={space}/{to}&from={source}&window={WINDOW}")[1]["items"]
        return sorted((item.get("sourceService", ""), item.get("service", ""), item.get("route", ""), item["requests"],
                       item["failures"]) for item in items)
    rows = mesh.api("GET", f"/apis/apus.dev/v1/stats?window={WINDOW}")[1]
    found = {f"{row['kind']}/{row['name']}": (row["requests"], row["failures"]) for row in rows["items"]
             if row["namespace"] == space}
    edges = [(edge["source"].split("-")[0], edge["destination"], edge["requests"]) for edge in rows["edges"]
             if edge["destinationNamespace"] == space]
    history = mesh.api("GET", f"/apis/apus.dev/v1/history?to={space}/catalog&window={WINDOW}")[1]["items"]
    return {"service": found.get("service/catalog"), "v1": found.get("service/catalog-v1"), "edges": edges,
            "workloads": sum(count for name, (count, _) in found.items() if name.startswith("workload/catalog")),
            "calls": traffic("sourceService,service"), "from": traffic("sourceService,service", source="client"),
            "routes": traffic("service,route"), "backend": traffic("service,route", to="catalog-v1"),
            "history": (sum(item["requests"] for item in history), sum(item["failures"] for item in history))}


def test_each_request_is_counted_once_before_during_and_after_an_apply(own_mesh):
    mesh, space = own_mesh, "figures"
    server = mesh.quick_server("catalog", "v1", namespace=space)
    client = mesh.client(namespace=space)
    mesh.apply(version_service("catalog", "v1", space))
    mesh.meshed(server)

    def ask(count, path="/"):
        return [client.get(f"http://catalog{path}").status for _ in range(count)]

    def expect(**wanted):
        """The proxies report every second; then it is so, and stays so."""
        def told():
            found = figures(mesh, space)
            assert {name: found[name] for name in wanted} == wanted
            return True
        raw.eventually(told)
        mesh.pause(2.5)
        told()

    assert set(ask(40)) == {200}
    expect(service=(40, 0), workloads=40, calls=[("client", "catalog", "", 40, 0)], edges=[("client", "catalog", 40)],
           routes=[("", "catalog", "", 40, 0)], history=(40, 0))

    mesh.apply(route("catalog", {"matches": [{"path": {"type": "PathPrefix", "value": "/missing"}}],
                                 "backendRefs": [backend("nowhere")]},
                     {"backendRefs": [backend("catalog-v1", 95)]}, namespace=space), namespace=space)
    first, second = f"{space}/catalog/0", f"{space}/catalog/1"
    assert set(ask(60)) == {200}
    expect(service=(100, 0), v1=(60, 0), workloads=100, calls=[("client", "catalog", "", 100, 0)],
           edges=[("client", "catalog", 100)], routes=[("", "catalog", "", 40, 0), ("", "catalog", second, 60, 0)],
           history=(100, 0))

    # One request that never leaves the caller's proxy, and healthy traffic beside it.
    assert ask(1, "/missing") == [500] and set(ask(20)) == {200}
    expect(service=(121, 1), v1=(80, 0), workloads=120, edges=[("client", "catalog", 121)],
           calls=[("client", "catalog", "", 121, 1)], **{"from": [("client", "catalog", "", 121, 1)]},
           routes=[("", "catalog", "", 40, 0), ("", "catalog", first, 1, 1), ("", "catalog", second, 80, 0)],
           # The workload has the backend's name: what it served before there was a route is among it.
           backend=[("", "catalog", "", 40, 0), ("", "catalog-v1", second, 80, 0)], history=(121, 1))
    stat = json.loads(mesh.cli("stat", "service/catalog", "-n", space, "-o", "json", "--window", str(WINDOW)).stdout)
    assert [(row["requests"], row["failures"]) for row in stat["items"]] == [(121, 1)]
    routes = mesh.cli("routes", "catalog", "-n", space, "--window", str(WINDOW)).stdout
    assert first in routes and second in routes and "99." not in routes.splitlines()[1], routes
    described = mesh.cli("describe", "catalog", "-n", space).stdout
    titles, row = described.split("\nRoutes\n")[1].splitlines()[:2]
    assert titles.split()[:5] == ["KIND", "NAME", "RULES", "ACCEPTED", "RESOLVED"], described
    # It is accepted, though one of its backends is not there.
    assert row.split()[:5] == ["HTTPRoute", f"{space}/catalog", "2", "yes", "no"], described

    # Taken away again, with the same traffic: nothing is counted anew.
    mesh.delete("httproute", "catalog", space)
    assert set(ask(30)) == {200}
    expect(service=(151, 1), v1=(80, 0), workloads=150, edges=[("client", "catalog", 151)], history=(151, 1))


def test_health_checks_are_nobodys_requests(own_mesh):
    mesh, space = own_mesh, "checked"
    server = mesh.quick_server("catalog", "v1", namespace=space)
    client = mesh.client(namespace=space)
    mesh.apply({"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy", "metadata": {"name": "checks", "namespace": space},
                "spec": {"targetRefs": [{"kind": "Service", "name": "catalog"}],
                         "healthCheck": {"type": "HTTP", "path": "/healthz?deep=1", "interval": "1s"}}})
    mesh.meshed(server)
    assert client.get("http://catalog/").status == 200

    def passed():
        found = re.search(rb"^apus_health_checks_passed_on_total (\d+)", server.admin("/metrics").body, re.M)
        return int(found[1]) if found else 0
    raw.eventually(lambda: passed() >= 3)
    # No application has a way to go unseen: not by asking for the path, and not by calling itself a check, since the mark of
    # a check is taken from whatever its proxy sends.
    marks = [("user-agent", "apus-health"), ("X-Apus-Health", "check")]
    for path in ("/other", "/healthz", "/healthz?deep=1"):
        assert client.get(f"http://catalog{path}", fields=marks).status == 200

    def counted():
        text = server.admin("/metrics").body.decode()
        return sum(int(count) for count in re.findall(
            r'^istio_requests_total\{.*reporter="destination".*\} (\d+)', text, re.M))
    assert counted() == 4
    paths = [item["path"] for item in mesh.api("GET", f"/apis/apus.dev/v1/decisions?to={space}/catalog")[1]["items"]
             if item["reporter"] == "destination"]
    assert sorted(path.split("?")[0] for path in paths) == ["/", "/healthz", "/healthz", "/other"]
    raw.eventually(lambda: figures(mesh, space)["edges"] == [("client", "catalog", 4)])
