"""A large mesh, 1,000 services with 10 endpoints each and a route: what it costs a proxy that calls a few of them."""

import json

from support import raw
from support.mesh import backend, policy, route

SERVICES, ENDPOINTS = 1000, 10


def service(name, port=8080):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port, "appProtocol": "http"}]}}


def endpoints(name, addresses, port=8080):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": [{"addresses": [address]} for address in addresses],
            "ports": [{"name": "http", "port": port}]}


def addresses(number):
    return [f"10.{number // 250}.{number % 250}.{index + 1}" for index in range(ENDPOINTS)]


def two_rules(number):
    return route(f"service-{number}",
                 {"matches": [{"path": {"value": f"/{number}/next"}}],
                  "backendRefs": [backend(f"service-{(number + 1) % SERVICES}")]},
                 {"backendRefs": [backend(f"service-{number}")]})


def memory(workload):
    """Resident memory of a workload's proxy, and what of it is no file's, in MB."""
    with open(f"/proc/{workload.sidecar_pid}/smaps_rollup") as file:
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in file if line.endswith("kB\n")}
    return found["Rss"], found["Anonymous"]


def fits(workload):
    # What the figures of the benchmark leave room for: 25 MB, and 5 for other machines' libraries.
    resident, own = memory(workload)
    assert resident < 30 and own < 16, (resident, own)
    return True


def test_a_thousand_services_fit_a_small_proxy_and_changes_of_one_find_it(own_mesh):
    mesh = own_mesh
    server = mesh.quick_server()
    objects = [item for number in range(SERVICES) for item in (
        service(f"service-{number}"), endpoints(f"service-{number}", addresses(number)), two_rules(number))]
    for start in range(0, len(objects), 500):
        mesh.apply(*map(json.dumps, objects[start:start + 500]))
    client = mesh.client(workers=1)
    mesh.wait_for(client, "http://server/")
    raw.eventually(lambda: fits(client))
    page = json.loads(client.admin("/endpoints").body)["clusters"]
    assert sum(len(item.get("endpoints", [])) for item in page) >= SERVICES * ENDPOINTS
    raw.eventually(lambda: fits(client))

    # One endpoint: that of another service of the same mesh.
    host, port = "127.0.0.1", server.app_port
    mesh.apply(json.dumps(service("service-7", port)), json.dumps(endpoints("service-7", [host], port)))
    mesh.wait_for(client, "http://service-7/")
    # One route, and what leads to a service that changed.
    mesh.apply(json.dumps(route("service-5", {"backendRefs": [backend("service-7")]})))
    mesh.wait_for(client, "http://service-5/")
    assert client.get("http://service-6/6/next").status == 200, "its rule was not touched, what it leads to was"
    raw.eventually(lambda: fits(client))
    # A service before all others: every number moves by one.
    mesh.apply(json.dumps(service("a-service", port)), json.dumps(endpoints("a-service", [host], port)))
    mesh.wait_for(client, "http://a-service/")
    for name in ("service-7", "service-5", "server"):
        assert client.get(f"http://{name}/").status == 200, name
    assert client.get("http://service-6/6/next").status == 200
    # It goes, and nothing leads where it stood.
    mesh.cli("delete", "service", "a-service")
    raw.eventually(lambda: client.get("http://a-service/").reason == "no_service")
    for name in ("service-7", "service-5", "server"):
        assert client.get(f"http://{name}/").status == 200, name
    # Limits have their buckets from one configuration to the next.
    mesh.apply(policy("service-7", rateLimits=[{"name": "few", "requests": 3, "per": "1h", "side": "Client"}]))
    raw.eventually(lambda: client.get("http://service-7/").reason == "rate_limited")
    mesh.apply(json.dumps(endpoints("service-9", [host], port)), json.dumps(service("service-9", port)))
    mesh.wait_for(client, "http://service-9/")
    assert client.get("http://service-7/").reason == "rate_limited"
    raw.eventually(lambda: fits(client))
