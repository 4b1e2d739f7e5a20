"""What the proxies tell about themselves: metrics that Prometheus reads, logs that parse, admin pages."""

import collections
import ctypes
import json
import os
import signal
import struct

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from support import processes, raw
from support.mesh import backend, policy, route, version_service


@pytest.fixture
def pair(mesh, namespace):
    server = mesh.server(version="v1", namespace=namespace, access_log="json")
    client = mesh.client(namespace=namespace, access_log="json")
    mesh.wait_for(client, "http://server/")
    return client, server


def scrape(workload, accept="text/plain"):
    answer = raw.get(workload.admin_port, "/metrics", [("Accept", accept)], host="localhost")
    assert answer.status == 200
    parse = openmetrics if "openmetrics" in answer.header("content-type") else prometheus
    return {family.name: family for family in parse(answer.body.decode())}


def total(families, name, **labels):
    family = families.get(name) or families[name.removesuffix("_total")]
    return sum(sample.value for sample in family.samples
               if sample.name in (name, name.removesuffix("_total") + "_total")
               and all(sample.labels.get(key) == value for key, value in labels.items()))


def test_requests_are_counted_at_both_ends_with_istio_names(pair, namespace):
    client, server = pair
    before = total(scrape(client), "istio_requests_total", destination_service_name="server")
    for number in range(30):
        client.get("http://server/status/404" if number % 3 == 0 else "http://server/")
    after = scrape(client)
    assert total(after, "istio_requests_total", destination_service_name="server") - before == 30
    labels = {"reporter": "source", "source_workload": "client", "source_workload_namespace": namespace,
              "destination_service_name": "server", "destination_service_namespace": namespace,
              "response_code": "404"}
    assert total(after, "istio_requests_total", **labels) == 10
    inbound = scrape(server)
    assert total(inbound, "istio_requests_total", reporter="destination", response_code="404",
                 connection_security_policy="mutual_tls") == 10
    principals = {sample.labels.get("source_principal") for family in inbound.values() for sample in family.samples}
    assert f"spiffe://cluster.local/ns/{namespace}/sa/client" in principals


def test_both_formats_parse_and_histograms_add_up(pair):
    client, _ = pair
    for _ in range(20):
        client.get("http://server/")
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        families = scrape(client, accept)
        family = families["istio_request_duration_milliseconds"]
        assert family.type == "histogram"
        series = {}
        for sample in family.samples:
            key = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
            series.setdefault(key, {}).setdefault(sample.name.rsplit("_", 1)[-1], []).append(sample)
        assert series
        for parts in series.values():
            counts = [s.value for s in parts["bucket"]]
            assert counts == sorted(counts) and counts[-1] == parts["count"][0].value
            assert parts["bucket"][-1].labels["le"] == "+Inf"


def test_what_a_scrape_costs_a_worker_is_told(pair):
    """The bounds of its parts are unit tests; here the longest is shown, beside the longest turn of the loop."""
    client, _ = pair
    families = scrape(client)
    for name in ("apus_telling_turn_seconds", "apus_loop_turn_seconds"):
        workers = {sample.labels["worker"]: sample.value for sample in families[name].samples}
        assert len(workers) >= 1 and all(0 < value < 10 for value in workers.values()), (name, workers)
    assert [(s.labels["component"], s.value) for s in families["istio_build"].samples] == [("proxy", 1)]


def test_who_makes_texts_stays_behind_who_answers_requests(pair):
    """The thread that makes a scrape's text takes no worker's processor away when it becomes ready; its share is the same."""
    for workload in pair:
        names, nice, policies = {}, {}, {}
        for thread in map(int, os.listdir(f"/proc/{workload.sidecar_pid}/task")):
            with open(f"/proc/{workload.sidecar_pid}/task/{thread}/comm") as file:
                names[thread] = file.read().strip()
            nice[thread], policies[thread] = os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread)
        side, workers = workload.sidecar_pid, [thread for thread, name in names.items() if name.startswith("worker-")]
        assert workers and policies[side] == os.SCHED_BATCH, names
        for worker in workers:
            assert policies[worker] == os.SCHED_OTHER and nice[side] == nice[worker], (names, nice)
        if told := turn_nanoseconds(side):
            assert told == 100_000 and all(told < turn_nanoseconds(worker) for worker in workers)


def turn_nanoseconds(thread):
    """How long a thread's turns are; 0 where the kernel does not tell (before Linux 6.12)."""
    attributes = ctypes.create_string_buffer(48)
    number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
    assert ctypes.CDLL(None).syscall(number, thread, attributes, 48, 0) == 0
    return struct.unpack_from("Q", attributes, 24)[0]


def test_no_exposition_has_a_series_twice(pair):
    """Prometheus refuses a whole scrape for one doubled series."""
    client, server = pair
    for number in range(30):
        client.get("http://server/status/404" if number % 3 == 0 else "http://server/")
        client.get("http://nobody/")
    for workload in pair:
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
            answer = raw.get(workload.admin_port, "/metrics", [("Accept", accept)], host="localhost")
            lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
            # Without exemplar and value.
            series = collections.Counter(line.split(" # ")[0].rpartition(" ")[0] for line in lines)
            assert len(series) > 100 and max(series.values()) == 1, series.most_common(3)


def test_failures_carry_their_reason_and_their_deciding_object(pair):
    client, _ = pair
    answer = client.get("http://nobody/")
    assert answer.status == 404 and answer.reason == "no_service" and answer.header("server") == "apus"
    assert answer.body.endswith(b"\n") and len(answer.body) > 10
    assert total(scrape(client), "istio_requests_total", error_reason="no_service") >= 1

    def logged():
        return any(json.loads(line).get("error_reason") == "no_service" for line in client.sidecar_log().splitlines()
                   if line.startswith("{") and "no_service" in line)
    raw.eventually(logged)


def test_the_access_log_says_what_happened(pair, namespace):
    client, server = pair
    client.get("http://server/status/418?token=1", fields=[("x-request-id", "find-me-1234")])

    def line():
        return next((json.loads(text) for text in client.sidecar_log().splitlines() if "/status/418" in text), None)
    entry = raw.eventually(line)
    text = json.dumps(entry)
    for wanted in ("418", "GET", "/status/418", "server"):
        assert wanted in text, entry
    # Who was called, as the certificate says it, at both ends; who called, where that one has shown a certificate.
    called, caller = (f"spiffe://cluster.local/ns/{namespace}/sa/{name}" for name in ("server", "client"))
    inside = raw.eventually(lambda: next(
        (json.loads(text) for text in server.sidecar_log().splitlines() if "/status/418" in text), None))
    assert (entry["source_principal"], entry["destination_principal"]) == (None, called)
    assert (inside["source_principal"], inside["destination_principal"]) == (caller, called)
    # A request that went nowhere has nobody at its other end.
    client.get("http://nobody-there/nowhere")
    lost = raw.eventually(lambda: next(
        (json.loads(text) for text in client.sidecar_log().splitlines() if "/nowhere" in text), None))
    assert lost["destination_principal"] is None and lost["error_reason"] == "no_service"


def test_names_from_clients_make_no_series_without_end(pair):
    client, _ = pair
    client.get("http://nobody-0/")
    before = sum(len(family.samples) for family in scrape(client).values())
    for number in range(1, 300):
        client.get(f"http://nobody-{number}/", method=f"M{number}")
    after = sum(len(family.samples) for family in scrape(client).values())
    assert after - before < 60, f"{after - before} series from 300 made-up names"


def test_admin_pages(pair):
    client, server = pair
    assert client.admin("/live").status == 200 and client.admin("/ready").status == 200
    dump = json.loads(client.admin("/config_dump").body)
    assert any(service["name"] == "server" for service in dump["services"])
    assert b"PRIVATE KEY" not in client.admin("/config_dump").body
    assert server.uid in client.admin("/clusters").body.decode()
    assert client.admin("/connections").status == 200
    assert client.admin("/logging").status == 200
    assert client.admin("/nothing-here").status == 404
    head = client.admin("/metrics", method="HEAD")
    assert head.status == 200 and head.body == b""
    wrong = client.admin("/drain")
    assert wrong.status == 405 and wrong.header("allow") == "POST"


@pytest.mark.parametrize("fields, host", [([("Origin", "http://example.com")], "127.0.0.1"), ([("Origin", "null")], "localhost"),
                                          ([], "rebound.example"), ([], "rebound.example:15000"), ([], "127.0.0.1.example")])
def test_pages_of_the_web_do_nothing_to_a_proxy(pair, fields, host):
    """A browser on the machine sends what any page tells it to, and under the page's own name where that leads here."""
    client, _ = pair
    assert raw.get(client.admin_port, "/logging?level=debug", method="POST", fields=fields, host=host).status == 403
    assert client.admin("/logging").body == b"info\n"
    for name in ("localhost", "127.0.0.1:15000", "[::1]:15000", "LOCALHOST:1"):
        assert raw.get(client.admin_port, "/live", host=name).status == 200


def peak_memory(pid):
    """The most that the process ever had resident, bytes."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_thousands_of_series_are_scraped_without_holding_them(mesh, namespace):
    """Ten rules and four hundred statuses are four thousand series, a few hundred megabytes of text."""
    mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    rules = [{"name": f"r{n}", "matches": [{"queryParams": [{"name": "q", "value": str(n)}]}],
              "backendRefs": [backend("server")]} for n in range(10)]
    mesh.apply(route("server", *rules, namespace=namespace),
               policy("server", namespace, outlierDetection={"consecutive5xx": 0}, retry={"attempts": 0}))
    mesh.wait_for(client, "http://server/?q=9")
    raw.eventually(lambda: client.get("http://server/").reason == "no_route")
    with raw.Connection(client.forward_port) as connection:
        for status in range(200, 600):
            for rule in range(10):
                connection.request("GET", f"http://server/status/{status}?q={rule}")
                assert connection.response().status == status
    before = peak_memory(client.sidecar_pid)
    with raw.Connection(client.admin_port, 60) as scrape, raw.Connection(client.admin_port, 60) as stalled:
        for connection in (stalled, scrape):
            connection.request("GET", "/metrics", host="localhost")
        size, series, rest = 0, 0, b""
        while data := scrape.socket.recv(1 << 20):
            size += len(data)
            parts = (rest + data).split(b"\n")
            rest = parts.pop()
            series += sum(line.startswith(b"istio_requests_total{") for line in parts)
            if size < 50 << 20 and size % 7 == 0:
                assert client.admin("/live").status == 200, "other pages are answered meanwhile"
    assert series > 3900 and size > 100 << 20, f"{series} series in {size} bytes"
    grown = peak_memory(client.sidecar_pid) - before
    assert grown < 40 << 20, f"the scrape cost {grown} bytes of memory"


def test_stat_shows_traffic_within_seconds(mesh, namespace, pair):
    client, _ = pair
    with client.load("http://server/", rate=100):
        def row():
            items = mesh.api("GET", "/apis/apus.dev/v1/stats?window=30")[1]["items"]
            return next((i for i in items if i["name"] == "server" and i["namespace"] == namespace
                         and i["kind"] == "service" and i["requests"] > 50), None)
        found = raw.eventually(row, 15)
    assert found["successRate"] == 1 and found["meshed"] == "1/1" and 0 < found["p50Ms"] <= found["p99Ms"]
    table = mesh.cli("stat", "-n", namespace).stdout
    assert "server" in table and "100.0" in table


def test_stat_counts_the_members_of_services_that_only_routes_name(mesh, namespace):
    for version in ("v1", "v2"):
        mesh.quick_server(version=version, namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(version_service("server", "v1", namespace),
               route("server", {"backendRefs": [backend("server-v1")]}, namespace=namespace))

    def meshed():
        items = mesh.api("GET", "/apis/apus.dev/v1/stats")[1]["items"]
        rows = {i["name"]: i["meshed"] for i in items if i["namespace"] == namespace and i["kind"] == "service"}
        return rows.get("server") == "2/2" and rows.get("server-v1") == "1/1"
    mesh.wait_for(client, "http://server/")
    raw.eventually(meshed)


def test_who_never_listened_is_not_called_unhealthy(mesh, namespace):
    server, client = mesh.quick_server(namespace=namespace), mesh.client(namespace=namespace)

    def health(workload):
        path = f"/apis/apus.dev/v1/namespaces/{namespace}/workloads/{workload.uid}"
        return mesh.api("GET", path)[1]["status"]["health"]
    raw.eventually(lambda: health(server) == "healthy" and health(client) == "notListening")


def test_sigterm_drains_without_a_failed_request(mesh, namespace, pair):
    client, _ = pair
    others = [mesh.quick_server(version="v1", namespace=namespace) for _ in range(2)]
    mesh.meshed(*others)
    with client.load("http://server/", connections=16) as load, \
            client.load("http://server/delay/300", connections=8) as slow:
        for other in others:
            mesh.pause(1)
            mesh.stop_workload(other)
        mesh.pause(1)
    load.assert_all_answered(at_least=1000)
    slow.assert_all_answered(at_least=20)


def test_drain_takes_a_workload_out_of_the_mesh(mesh, namespace, pair):
    """A proxy that was told to drain is not started again; its program is asked to end, and its status is that of all."""
    client, _ = pair
    leaving = mesh.quick_server(version="v9", namespace=namespace)
    mesh.meshed(leaving)
    with client.load("http://server/", connections=8) as load:
        mesh.pause(0.5)
        assert leaving.admin("/drain", method="POST").status == 200
        assert leaving.program.process.wait(30) == 128 + signal.SIGTERM
        mesh.pause(0.5)
    load.assert_all_answered(at_least=100)
    assert "the proxy has drained" in leaving.program.output()
    mesh.workloads.remove(leaving)


def test_a_drained_client_side_proxy_finishes_what_it_has(mesh, namespace, pair):
    leaving = mesh.client(service="leaving", namespace=namespace)
    mesh.wait_for(leaving, "http://server/")
    with raw.Connection(leaving.forward_port) as connection:
        connection.request("GET", "http://server/delay/1500")
        mesh.pause(0.3)
        processes.kill(leaving.program.pid, signal.SIGTERM)
        answer = connection.response()
    assert answer.status == 200 and answer.body
