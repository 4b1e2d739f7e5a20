"""Endpoints that die or fail under load: what clients notice, and how much more work the survivors get."""

import json
import os
import signal
import socket
import threading
import time

from support import processes, raw
from support.mesh import backend, policy, route, version_service


def killed(workload):
    """SIGKILL to everything of a workload at once: the launcher, its sidecar and the application."""
    for pid in (workload.program.pid, workload.sidecar_pid, workload.app_pid):
        processes.kill(pid)
    workload.program.process.wait()


class Relay:
    """Another loopback address that leads to a server."""

    def __init__(self, target, port):
        self.address, self.target = "127.0.0.77", target
        self.listener = socket.create_server((self.address, port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here = self.listener.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()

    def close(self):
        self.listener.close()


def test_an_application_killed_under_load_fails_no_idempotent_request(mesh, namespace):
    servers = [mesh.quick_server(namespace=namespace) for _ in range(3)]
    client = mesh.client(namespace=namespace)
    mesh.meshed(*servers)
    with client.load("http://server/", connections=16) as load:
        mesh.pause(1)
        processes.kill(servers[0].app_pid)
        mesh.pause(1)
        processes.kill(servers[1].app_pid)
        mesh.pause(2)
    load.assert_all_answered(at_least=1000)
    assert servers[2].counts()["/"] > 0
    for server in servers[:2]:
        assert server.program.process.wait(20) == 128 + signal.SIGKILL
        mesh.workloads.remove(server)


def test_a_host_killed_under_load_fails_no_idempotent_request(mesh, namespace):
    servers = [mesh.quick_server(namespace=namespace) for _ in range(3)]
    client = mesh.client(namespace=namespace)
    mesh.meshed(*servers)
    with client.load("http://server/", connections=16) as load:
        mesh.pause(1)
        killed(servers[0])
        mesh.pause(3)
    mesh.workloads.remove(servers[0])
    load.assert_all_answered(at_least=1000)


def test_a_dead_workload_leaves_within_seconds(mesh, namespace):
    servers = [mesh.quick_server(namespace=namespace) for _ in range(2)]
    raw.eventually(lambda: all(s.uid in mesh.proxies() for s in servers))

    def listed():
        items = mesh.api("GET", f"/apis/apus.dev/v1/namespaces/{namespace}/workloads")[1]["items"]
        return {item["metadata"]["uid"] for item in items}
    raw.eventually(lambda: {s.uid for s in servers} <= listed())
    killed(servers[0])
    mesh.workloads.remove(servers[0])
    begin = time.monotonic()
    raw.eventually(lambda: servers[0].uid not in listed())
    assert time.monotonic() - begin < 20 and servers[1].uid in listed()


def attempts_and_answers(mesh, client, server, path, rate, seconds, **options):
    before = server.counts().get(path, 0)
    with client.load(f"http://server{path}", connections=8, rate=rate, seconds=seconds, **options) as load:
        load.wait()
    return server.counts()[path] - before, load.result


def test_attempts_stay_within_the_budget_when_everything_fails(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(policy("server", namespace, outlierDetection={"consecutive5xx": 0},
                      retry={"attempts": 3, "backoff": "1ms"}))
    mesh.meshed(server)
    rate, seconds = 300, 6
    attempts, result = attempts_and_answers(mesh, client, server, "/status/503", rate, seconds)
    requests = result["requests"]
    assert requests > 200 and set(result["statuses"]) == {"503"}, result
    # 20 % of the requests, and 10 a second, which may have been saved up over the window of ten seconds.
    budget = 0.2 * requests + 10 * (seconds + 10)
    assert requests < attempts <= requests + budget, f"{attempts} attempts for {requests} requests"
    metrics = client.admin("/metrics").body.decode()
    assert "retry_budget_exhausted" in metrics


def test_what_is_not_idempotent_is_not_sent_twice(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(policy("server", namespace, outlierDetection={"consecutive5xx": 0}))
    mesh.wait_for(client, "http://server/")
    for path in ("/abort", "/status/503"):
        for number in range(20):
            answer = client.get(f"http://server{path}", method="POST", body=b"once")
            assert answer.status in (502, 503), answer
        assert server.counts()[path] == 20, f"POST {path} reached the application {server.counts()[path]} times"
    answer = client.get("http://server/abort", method="POST", body=b"once")
    assert answer.reason in ("upstream_reset", "connect_failure") and answer.header("server") == "apus", answer


def test_an_endpoint_that_fails_is_ejected_and_comes_back(mesh, namespace):
    good, bad = (mesh.quick_server(version=v, namespace=namespace) for v in ("good", "bad"))
    client = mesh.client(namespace=namespace)
    mesh.apply(policy("server", namespace, retry={"attempts": 0}, loadBalancer={"algorithm": "RoundRobin"},
                      outlierDetection={"consecutive5xx": 3, "interval": "1s", "baseEjectionTime": "2s",
                                        "maxEjectionPercent": 50}))
    mesh.meshed(good, bad)

    with client.load("http://server/", connections=8, rate=200) as load:
        processes.kill(bad.app_pid)
        mesh.pause(2)
    mesh.workloads.remove(bad)
    bad.program.process.wait(20)
    failures = load.result["statuses"].get("503", 0) + load.result["statuses"].get("502", 0)
    assert failures < 60, f"without ejection half of some 400 requests would have failed: {load.result}"


def test_a_stopped_endpoint_ends_in_a_timeout_that_says_so(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(policy("server", namespace, timeouts={"request": "2s"}))
    mesh.meshed(server)
    begin = time.monotonic()
    assert client.get("http://server/delay/20000").reason == "request_timeout"
    assert 1.9 < time.monotonic() - begin < 15
    assert client.get("http://server/delay/50").status == 200
    os.kill(server.app_pid, signal.SIGSTOP)
    try:
        assert client.get("http://server/").reason == "request_timeout"
    finally:
        os.kill(server.app_pid, signal.SIGCONT)
    raw.eventually(lambda: client.get("http://server/").status == 200)


def test_the_circuit_opens_at_its_number_and_says_so(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.apply(policy("server", namespace, circuitBreaker={"maxRequests": 2}, retry={"attempts": 0}))
    mesh.meshed(server)
    with client.load("http://server/delay/200", connections=10, requests=40) as load:
        load.wait()
    result = load.result
    assert result["statuses"].get("503", 0) > 0 and result["statuses"].get("200", 0) > 0 and result["failed"] == 0
    assert "circuit_open_requests" in client.admin("/metrics").body.decode()


def test_a_policy_holds_for_the_versions_to_which_the_services_route_leads(mesh, namespace):
    """As after a first release: the route leads to the Service of a version, and the breaker is the service's."""
    server = mesh.quick_server(version="v1", namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.meshed(server)
    mesh.apply(version_service("server", "v1", namespace),
               route("server", {"backendRefs": [backend("server-v1")]}, namespace=namespace),
               policy("server", namespace, circuitBreaker={"maxRequests": 1}, retry={"attempts": 0}))
    with client.load("http://server/delay/200", connections=10, requests=40) as load:
        load.wait()
    result = load.result
    assert result["statuses"].get("503", 0) > 0 and result["statuses"].get("200", 0) > 0 and result["failed"] == 0

    def explained():
        told = json.loads(mesh.cli("why", "--to", f"{namespace}/server-v1", "--reason", "circuit_open_requests",
                                   "-o", "json").stdout)
        assert (told["object"]["kind"], told["object"]["name"]) == ("TrafficPolicy", "server"), told
        return True
    raw.eventually(explained)


def test_an_answer_that_breaks_off_is_a_reset_and_not_a_shorter_answer(mesh, namespace):
    mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    for _ in range(5):
        try:
            answer = client.get("http://server/stop-after/200000")
            raise AssertionError(f"a truncated answer was passed on as complete: {len(answer.body)} bytes")
        except EOFError:
            pass
    assert client.get("http://server/").status == 200


def test_an_endpoint_that_comes_and_goes_every_100_ms_fails_nothing_and_leaves_nothing(mesh, namespace, static):
    """An endpoint without a proxy, named by an EndpointSlice that changes under load."""
    stays, comes = static.server("stays"), static.server("comes")
    client = mesh.client(namespace=namespace)

    def endpoints(*servers):
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": "outside", "namespace": namespace,
                             "labels": {"kubernetes.io/service-name": "outside"}},
                "addressType": "IPv4", "endpoints": [{"addresses": [address]} for address in servers],
                "ports": [{"name": "http", "port": stays.port}]}
    # One port, two addresses: the second server listens on another loopback address through a relay of its own.
    relay = Relay(comes.port, stays.port)
    mesh.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside", "namespace": namespace},
                "spec": {"ports": [{"name": "http", "port": 80, "appProtocol": "http"}]}}, endpoints("127.0.0.1"))
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/outside"
    try:
        mesh.wait_for(client, "http://outside/")
        with client.load("http://outside/", rate=200, connections=8) as load:
            def turn_over(seconds):
                end, number = time.monotonic() + seconds, 0
                while time.monotonic() < end:
                    number += 1
                    addresses = ["127.0.0.1", relay.address][:1 + number % 2]
                    body = [{"addresses": [address]} for address in addresses]
                    status, answer = mesh.api("PATCH", path, {"endpoints": body}, "application/merge-patch+json")
                    assert status == 200, answer
                    mesh.pause(0.1)
                return number
            turn_over(3)
            before = processes.resident_bytes(client.sidecar_pid)
            turns = turn_over(6)
            after = processes.resident_bytes(client.sidecar_pid)
        load.assert_all_answered(at_least=1000)
        assert turns >= 20 and comes.counts()["/"] > 50, (turns, comes.counts())
        assert after - before < 1_500_000, f"{before} bytes became {after} in {turns} changes"
    finally:
        relay.close()
