"""A load with known numbers of each outcome: metrics of both ends, access log, `stat` and the dashboard's data agree with it
exactly; quantiles within what the histogram states."""

import collections
import json
import os
import sys
import threading
import time

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from support import interop, raw
from support.interop import fails, simple_request
from support.mesh import policy, route
from support.processes import APPS, free_port

SPACE = "truth"


class Load:
    """What was asked for, and what the client got: the truth."""

    def __init__(self, mesh):
        self.mesh, self.calls = mesh, free_port()
        self.seen = collections.Counter()
        self.retries, self.tcp = 0, 0
        self.server = mesh.quick_server(namespace=SPACE)
        self.flaky = mesh.run("flaky", sys.executable, os.path.join(APPS, "server.py"), "flaky", "--env", "{env}", "--fail",
                              "0.5", "--status", "503", namespace=SPACE)
        self.grpc = mesh.run("calls", sys.executable, os.path.join(APPS, "interop.py"), namespace=SPACE, protocol="grpc",
                             wait=False)
        self.client = mesh.client(namespace=SPACE, upstreams={"calls": self.calls}, access_log="json")
        mesh.apply(*self.objects(), namespace=SPACE)
        mesh.wait_for(self.client, "http://server/")
        mesh.wait_for(self.client, "http://flaky/")
        for name in ("crowded", "limited", "timed", "once", "cut"):
            mesh.wait_for(self.client, f"http://{name}/", status=429 if name == "limited" else 200)
        raw.eventually(self.is_called, 20)

    def is_called(self):
        """The application may not listen yet."""
        with interop.Stub(self.calls) as stub:
            try:
                return stub.unary("EmptyCall") is not None
            except grpc.RpcError:
                return False

    def objects(self):
        def service(name):
            return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SPACE},
                    "spec": {"selector": {"app": "server"}, "ports": [
                        {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]}}
        return [*(service(name) for name in ("crowded", "limited", "timed", "once", "cut")),
                policy("crowded", SPACE, circuitBreaker={"maxRequests": 1}, retry={"attempts": 0}),
                policy("limited", SPACE, rateLimits=[{"name": "few", "requests": 1, "per": "1h", "side": "Client"}]),
                policy("calls", SPACE, retry={"attempts": 0}, outlierDetection={"consecutive5xx": 0}),
                policy("once", SPACE, retry={"attempts": 0}), policy("cut", SPACE, retry={"attempts": 0}),
                policy("flaky", SPACE, retry={"attempts": 2, "backoff": "1ms"}, outlierDetection={"consecutive5xx": 0},
                       retryBudget={"percent": 100, "minRetriesPerSecond": 1000}),
                route("timed", {"timeouts": {"request": "100ms"}, "backendRefs": [{"name": "timed", "port": 80}]},
                      namespace=SPACE)]

    def ask(self, service, path, count, **options):
        for _ in range(count):
            answer = self.client.get(f"http://{service}{path}", **options)
            # The reason that the other proxy gave is its own to count.
            reason = "" if service == "once" else answer.reason or ""
            self.seen[service, answer.status, reason] += 1

    def crowd(self):
        """Several at a time where one may be: some are answered, some refused; the client knows how many of each."""
        lock = threading.Lock()

        def one():
            answer = self.client.get("http://crowded/delay/150")
            with lock:
                self.seen["crowded", answer.status, answer.reason or ""] += 1
        threads = [threading.Thread(target=one) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def leave(self, count):
        for _ in range(count):
            with raw.Connection(self.client.forward_port) as connection:
                before = self.server.counts().get("/delay/30000", 0)
                connection.request("GET", "http://cut/delay/30000", host="cut")
                raw.eventually(lambda before=before: self.server.counts().get("/delay/30000", 0) > before)
                connection.reset()
            self.seen["cut", 0, "client_reset"] += 1

    def break_off(self, count):
        for _ in range(count):
            with raw.Connection(self.client.forward_port) as connection:
                connection.request("GET", "http://cut/stop-after/1000", host="cut")
                with pytest.raises(EOFError):
                    connection.response()
            # Between the proxies that is a stream that was reset.
            self.seen["cut", 200, "upstream_reset"] += 1

    def call(self):
        with interop.Stub(self.calls) as stub:
            for _ in range(6):
                stub.unary("EmptyCall")
            # Every status that there is, as often as its number says, but the last ones.
            for status in grpc.StatusCode:
                code, times = status.value[0], status.value[0] % 7
                for _ in range(times):
                    fails(status, lambda: stub.unary("UnaryCall", simple_request(code=code, message="no")))
                self.seen["calls", code, ""] += times
            for _ in range(2):
                fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unary("UnimplementedCall"))
        self.seen.update({("calls", 0, ""): 6, ("calls", 12, ""): 2})

    def run(self):
        self.ask("server", "/", 40)
        self.ask("server", "/status/404", 15)
        self.ask("server", "/delay/20", 25)
        attempts = self.flaky.counts().get("/", 0)
        self.ask("flaky", "/", 20)
        self.retries = self.flaky.counts()["/"] - attempts - 20
        self.crowd()
        self.ask("limited", "/", 7)
        self.ask("timed", "/delay/2000", 4)
        self.ask("once", "/abort", 6, method="POST")
        self.leave(3)
        self.break_off(2)
        self.call()


# What each source counts, in the same form: (service, status or gRPC status, reason) to a number.

def scraped(workload, reporter):
    found = collections.Counter()
    text = workload.admin("/metrics").body.decode()
    for family in parse(text):
        for sample in family.samples:
            labels = sample.labels
            if sample.name != "istio_requests_total" or labels["reporter"] != reporter:
                continue
            if labels["destination_service_namespace"] != SPACE:
                continue
            name = labels["destination_service_name"]
            status = labels["grpc_response_status"] if name == "calls" else labels["response_code"]
            reason = labels["error_reason"]
            found[name, int(status), "" if reason in ("", "-", "unknown", "none") else reason] += int(sample.value)
    return found


def logged(workload):
    found = collections.Counter()
    for line in workload.sidecar_log().splitlines():
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        name = (entry.get("upstream_service") or entry.get("upstream_cluster") or "").split("/")[-1]
        status = entry.get("grpc_status", 0) if name == "calls" else entry["response_code"]
        reason = entry.get("error_reason") or ""
        found[name, int(status), "" if reason == "-" else reason] += 1
    return found


def told(mesh):
    """By service: requests, failures, retries, reasons; from the API that `stat` and the dashboard read."""
    rows = mesh.api("GET", f"/apis/apus.dev/v1/traffic?by=service&window=3600&from={SPACE}/client")[1]["items"]
    return {row["service"]: row for row in rows}


@pytest.fixture(name="load", scope="module")
def fixture_load(shared_mesh):
    load = Load(shared_mesh)
    # Proxies report once a second; what came before is left out of the account once all of it has been reported.
    settle(load)
    load.before = scraped(load.client, "source"), scraped(load.server, "destination"), logged(load.client), told(shared_mesh)
    load.run()
    yield load
    for workload in (load.client, load.grpc, load.flaky, load.server):
        shared_mesh.stop_workload(workload)


def settle(load):
    """Waits until log and control plane have been told of what the caller's proxy has counted."""
    services = {"server", "flaky", "crowded", "limited", "timed", "once", "cut", "calls"}

    def by_service(counter):
        found = collections.Counter()
        for (service, _, _), count in counter.items():
            found[service] += count
        return {service: found[service] for service in services}

    def settled():
        counted = by_service(scraped(load.client, "source"))
        rows = told(load.mesh)
        return counted == by_service(logged(load.client)) == {
            name: rows.get(name, {}).get("requests", 0) for name in services}
    raw.eventually(settled, 20, 0.2)


def names(counter):
    return {key: count for key, count in counter.items() if count > 0}


def agrees(found, wanted):
    """The last exchanges end, lines are written and proxies report a moment after their clients are done."""
    end = time.monotonic() + 15
    while found() != wanted and time.monotonic() < end:
        time.sleep(0.2)
    assert found() == wanted


def test_the_load_had_every_outcome(load):
    reasons = {reason for _, _, reason in load.seen}
    assert {"circuit_open_requests", "rate_limited", "request_timeout", "upstream_reset", "client_reset", ""} <= reasons
    assert load.seen["once", 503, ""] == 6
    assert load.retries >= 19 and load.seen["flaky", 200, ""] == 20


def test_metrics_of_the_callers_proxy_agree(load):
    agrees(lambda: names(scraped(load.client, "source") - load.before[0]), names(load.seen))


def test_metrics_of_the_called_proxy_agree(load):
    """It sees what arrived: under its own service, each attempt once, and nothing that the caller's proxy refused."""
    arrived = collections.Counter()
    for (service, status, reason), count in load.seen.items():
        if service in ("flaky", "calls") or reason in ("circuit_open_requests", "rate_limited"):
            continue
        # What the caller's proxy gave up, and what its client did, is to this end a client that left.
        if reason in ("request_timeout", "client_reset"):
            status, reason = 0, "client_reset"
        if reason == "upstream_reset":
            reason = "upstream_truncated"
        if service == "once":
            reason = "upstream_reset"
        arrived["any", status, reason] += count

    def got():
        found = collections.Counter()
        for (_, status, reason), count in (scraped(load.server, "destination") - load.before[1]).items():
            found["any", status, reason] += count
        return names(found)
    agrees(got, names(arrived))


def test_the_access_log_agrees(load):
    agrees(lambda: names(logged(load.client) - load.before[2]), names(load.seen))


def test_stat_and_the_dashboards_data_agree(load):
    settle(load)
    before, after = load.before[3], told(load.mesh)

    def difference(service, member):
        return after[service][member] - before.get(service, {}).get(member, 0)
    for service in {service for service, _, _ in load.seen}:
        wanted = {(status, reason): count for (name, status, reason), count in load.seen.items() if name == service}
        assert difference(service, "requests") == sum(wanted.values()), service
        # An answer that broke off after its head is a failure, whatever its status; a client that left is none.
        failed = sum(count for (status, reason), count in wanted.items()
                     if (status in (2, 4, 13, 14, 15) if service == "calls"
                         else status >= 500 or reason == "upstream_reset"))
        assert difference(service, "failures") == failed, service
        reasons = collections.Counter()
        for (_, reason), count in wanted.items():
            reasons[reason] += count
        reasons.pop("", None)
        got = collections.Counter(after[service]["reasons"]) - collections.Counter(before.get(service, {}).get("reasons", {}))
        assert dict(got) == dict(reasons), service
    # Three clients left before the head, two answers broke off behind it.
    assert (difference("cut", "requests"), difference("cut", "failures")) == (5, 2)
    assert difference("flaky", "retries") == load.retries
    flaky = after["flaky"]
    assert flaky["successRate"] == 1 and flaky["attemptSuccessRate"] == pytest.approx(
        flaky["requests"] / (flaky["requests"] + flaky["retries"]))
    # The command line and the pages of the dashboard show these very rows.
    shown = json.loads(load.mesh.cli("stat", "--from", f"{SPACE}/client", "--window", "3600", "-o", "json").stdout)["items"]
    assert {row["service"]: row["requests"] for row in shown} == {name: row["requests"] for name, row in after.items()}
    wide = load.mesh.cli("stat", "--to", f"{SPACE}/flaky", "--window", "3600", "-o", "wide", env={"COLUMNS": "100"}).stdout
    assert "EFFECTIVE" in wide and "100.00%" in wide.replace(" %", "%").replace("100.0%", "100.00%")
    history = load.mesh.api("GET", f"/apis/apus.dev/v1/history?to={SPACE}/flaky&window=3600&step=3600")[1]["items"]
    assert sum(point["requests"] for point in history) == flaky["requests"]


def test_quantiles_are_within_what_the_histogram_states(load):
    """3.2 % of the very durations that the proxy measured."""
    settle(load)
    items = load.mesh.api("GET", f"/apis/apus.dev/v1/decisions?from={SPACE}/client&to={SPACE}/server&limit=1000")[1]["items"]
    durations = sorted(item["durationMs"] for item in items
                       if item["reporter"] == "source" and item["service"] == "server")
    row = told(load.mesh)["server"]
    assert len(durations) == row["requests"] >= 80
    for quantile in (50, 95, 99):
        exact = durations[max(0, -(-len(durations) * quantile // 100) - 1)]
        assert row[f"p{quantile}Ms"] == pytest.approx(exact, rel=0.033, abs=0.001), quantile
