"""Strategies of release besides the canary, and what a release may depend on: each with real services and proxies."""

import collections
import http.server
import os
import ssl
import sys
import threading
import time

import grpc
import pytest
import trustme

from support import raw
from support.calls import through
from support.processes import APPS, Program, free_port
from support.releases import Shop, canary, rollout


@pytest.fixture(name="shop")
def fixture_shop(mesh, namespace):
    return lambda second=None, suffix="": Shop(mesh, namespace + suffix, second or {})


def versions(client, count=20, **options):
    return collections.Counter(client.get("http://shop/", **options).body.decode().strip() for _ in range(count))


def test_rolling_follows_the_instances_and_drains_the_old_version(shop):
    shop = shop()
    spec = {"rolling": {"batchPercent": 50, "instances": 2, "drain": "2s"}}
    shop.adopt(**spec)
    with shop.client.load("http://shop/", rate=60, connections=4) as load:
        shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
        # One of two instances is there: half of the traffic, and no more.
        raw.eventually(lambda: shop.weights() == {"shop-v1": 50, "shop-v2": 50}, 20)
        raw.eventually(lambda: shop.status()["reason"] == "MoreInstances", 10)
        assert set(versions(shop.client, 40)) == {"shop-v1", "shop-v2"}
        shop.mesh.service("shop", "v2", shop.namespace, {})
        raw.eventually(lambda: shop.weights().get("shop-v2") == 100, 20)
        status = shop.until("Idle", seconds=30)
        assert status["stableVersion"] == "v2" and shop.weights() == {"shop-v2": 100}, status
        # Nothing came to the old version for as long as was asked for: it may go, and nobody notices.
        shop.mesh.stop_workload(shop.first)
        shop.mesh.pause(1)
    load.assert_all_answered(at_least=300)
    assert set(versions(shop.client)) == {"shop-v2"}


def audience(**more):
    return {"abTest": {"audience": [{"cookie": {"name": "group", "value": "b"}}], "duration": "4s", "autoPromote": True,
                       **more},
            "analysis": {"interval": "1s", "minSamples": 60, "successRate": {"maxDrop": 5}}}


def both_groups(shop):
    return [shop.client.load("http://shop/", rate=40, connections=2),
            shop.client.load("http://shop/", rate=40, connections=2, header="cookie: theme=dark; group=b")]


@pytest.mark.parametrize("second, phase, serves", [({}, "Idle", "v2"), ({"failing": 40}, "RolledBack", "v1")])
def test_an_audience_tries_the_new_version_for_all(shop, second, phase, serves):
    shop = shop(second, f"-{serves}")
    shop.adopt(**audience())
    loads = both_groups(shop)
    with loads[0], loads[1]:
        time.sleep(1)
        shop.mesh.apply(rollout(shop.namespace, "v2", **audience()))
        cookie = [("Cookie", "theme=dark; group=b")]
        raw.eventually(lambda: shop.client.get("http://shop/", fields=cookie).body == b"shop-v2\n", 20)
        assert set(versions(shop.client)) == {"shop-v1"}
        status = shop.until(phase, seconds=60)
        assert status["stableVersion"] == serves, status
        raw.eventually(lambda: versions(shop.client, fields=cookie) == {f"shop-{serves}": 20}, 10)
    # Everybody else had the stable version only, or the one that had proved itself.
    loads[0].assert_all_answered(at_least=100)
    assert set(versions(shop.client)) == {f"shop-{serves}"}


def test_a_shadow_gets_copies_and_nobody_its_answers(mesh, namespace):
    first = mesh.server("shop", "v1", namespace=namespace)
    # It fails everything: nobody may notice.
    second = mesh.run("shop", sys.executable, os.path.join(APPS, "server.py"), "shop-v2", "--env", "{env}", "--fail",
                      "1", version="v2", namespace=namespace)
    shop = Shop.__new__(Shop)
    shop.mesh, shop.namespace, shop.client = mesh, namespace, mesh.client(namespace=namespace)
    spec = {"shadow": {"percent": 50, "duration": "6s"}}
    shop.adopt(**spec)
    before = first.counts().get("/", 0)
    with shop.client.load("http://shop/", rate=100, connections=4) as load:
        mesh.apply(rollout(namespace, "v2", **spec))
        raw.eventually(lambda: second.counts().get("/", 0) >= 100, 20)
        assert shop.status()["strategy"] == "shadow" and shop.weights()["shop-v1"] == 100
        raw.eventually(lambda: shop.status()["reason"] == "ShadowEnded", 20)
        status = shop.status()
        assert status["phase"] == "Idle" and status["stableVersion"] == "v1", status
        found = mesh.api("GET", f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/shop")[1]
        assert "filters" not in found["spec"]["rules"][0] and shop.weights() == {"shop-v1": 100, "shop-v2": 0}, found
        raw.eventually(lambda: first.counts()["/"] - before >= 900, 20)
    load.assert_all_answered(at_least=700)
    copies = second.counts()["/"]
    # Six seconds of a hundred requests each, half of them: give or take when it began and ended.
    assert 220 <= copies <= 420, copies
    mesh.pause(0.5)
    assert second.counts()["/"] - copies <= 2, "copies go on after the end"


class Exporter(http.server.BaseHTTPRequestHandler):
    """Figures of two versions for Prometheus to scrape."""

    figures = {"v1": 10, "v2": 30}

    def do_GET(self):
        body = "".join(f'carts_abandoned{{version="{name}"}} {value}\n' for name, value in self.figures.items()).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(name="prometheus")
def fixture_prometheus(tmp_path):
    """Debian's Prometheus, scraping `Exporter` each second; its address."""
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: shop\n  static_configs:\n"
                      f"  - targets: ['127.0.0.1:{exporter.server_port}']\n")
    port = free_port()
    program = Program(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                       f"--web.listen-address=127.0.0.1:{port}"], str(tmp_path / "prometheus.log"), dict(os.environ))
    try:
        raw.eventually(lambda: b'"version":"v2"' in raw.get(
            port, "/api/v1/query?query=carts_abandoned", host="localhost").body, 60, 0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()
        exporter.shutdown()


def test_a_figure_of_prometheus_takes_a_release_back(shop, prometheus):
    shop = shop()
    # Names of the fixture's figures are those of the versions.
    spec = canary(50, pause="2s", successRate={"maxDrop": 20}, metrics=[
        {"name": "carts", "prometheus": prometheus, "query": 'carts_abandoned{version="{version}"}', "maxRatio": 1.5}])
    del spec["analysis"]["latency"]
    shop.adopt(**spec)
    Exporter.figures = {"v1": 10, "v2": 30}
    with shop.client.load("http://shop/", rate=60, connections=4) as load:
        raw.eventually(lambda: b'"30"' in raw.get(int(prometheus.rsplit(":", 1)[1]), "/api/v1/query?query=carts_abandoned",
                                                   host="localhost").body, 10, 0.5)
        shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
        status = shop.until("RolledBack", seconds=40)
        assert status["reason"] == "MetricFailed" and "carts" in status["message"], status
        assert shop.weights() == {"shop-v1": 100, "shop-v2": 0}
        Exporter.figures = {"v1": 10, "v2": 11}
        time.sleep(2.5)
        shop.mesh.cli("rollout", "retry", "shop", "-n", shop.namespace)
        status = shop.until("Idle", seconds=60)
        assert status["stableVersion"] == "v2", status
    load.assert_all_answered(at_least=300)


def test_a_gate_behind_https(own_mesh, tmp_path):
    """The gate's certificate is of an authority that the control plane is told of by SSL_CERT_FILE."""
    authority, asked = trustme.CA(), []
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    # The control plane is started again with it.
    own_mesh.control_plane.stop()
    own_mesh.environment["SSL_CERT_FILE"] = str(roots)
    own_mesh.start()

    class Gate(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    def serve(name):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server
    right, wrong = serve("localhost"), serve("elsewhere.test")
    try:
        shop = Shop(own_mesh, "default", {})
        spec = {"blueGreen": {"autoPromote": True, "returnWindow": "1s"}, "analysis": {"mode": "Off", "interval": "1s"}}

        def gate(server):
            return {"gates": [{"name": "go", "url": f"https://localhost:{server.server_port}/go"}]}
        shop.adopt(**spec, **gate(wrong))
        own_mesh.apply(rollout("default", "v2", **spec, **gate(wrong)))
        raw.eventually(lambda: "gate go is closed" in shop.status()["message"], 20)
        time.sleep(1)
        assert not asked and shop.weights()["shop-v1"] == 100
        own_mesh.apply(rollout("default", "v2", **spec, **gate(right)))
        status = shop.until("Idle", seconds=30)
        assert status["stableVersion"] == "v2" and b'"candidateVersion"' in asked[0], (status, asked)
    finally:
        right.shutdown()
        wrong.shutdown()


class Calls:
    """Calls of gRPC to `shop`, one after the other, until it is left; what became of them."""

    def __init__(self, client, rate=80):
        self.client, self.pause, self.answers, self.ending = client, 1 / rate, [], threading.Event()

    def one(self, channel):
        try:
            return channel.unary_unary("/test.Name/Get")(b"", timeout=5).decode()
        except grpc.RpcError as error:
            return error.code().name

    def channel(self):
        return through(self.client, "shop:80")

    def __enter__(self):
        def work():
            with self.channel() as channel:
                while not self.ending.wait(self.pause):
                    self.answers.append(self.one(channel))
        self.thread = threading.Thread(target=work)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()


@pytest.mark.parametrize("failing, phase, serves", [(0, "Idle", "v2"), (25, "RolledBack", "v1")])
def test_a_release_of_a_service_of_grpc(mesh, namespace, failing, phase, serves):
    namespace += f"-{serves}"
    for version, share in (("v1", 0), ("v2", failing)):
        mesh.run("shop", sys.executable, os.path.join(APPS, "grpc_version.py"), f"shop-{version}", "--env", "{env}",
                 "--failing", str(share), version=version, namespace=namespace, protocol="grpc")
    shop = Shop.__new__(Shop)
    shop.mesh, shop.namespace, shop.client, shop.kind = mesh, namespace, mesh.client(namespace=namespace), "grpcroutes"
    spec = {**canary(20, pause="2s", latency={"maxRatio": 20, "quantile": 90}, successRate={"maxDrop": 5}),
            "route": {"kind": "GRPCRoute", "name": "shop"}}
    mesh.apply(rollout(namespace, "v1", **spec))
    raw.eventually(lambda: shop.status()["phase"] == "Idle" and shop.weights() == {"shop-v1": 100}, 20)
    with Calls(shop.client) as calls, calls.channel() as channel:
        raw.eventually(lambda: len(calls.answers) > 50, 20)
        mesh.apply(rollout(namespace, "v2", **spec))
        raw.eventually(lambda: shop.status()["candidateVersion"] == "v2", 10)
        status = shop.until(phase, seconds=60)
        assert status["stableVersion"] == serves, status
        if failing:
            assert status["reason"] == "CheckFailed" and shop.weights() == {"shop-v1": 100, "shop-v2": 0}, status
        raw.eventually(lambda: {calls.one(channel) for _ in range(20)} == {f"shop-{serves}"}, 10)
    found = collections.Counter(calls.answers)
    # A call that INTERNAL ended was the new version's own.
    assert set(found) <= {"shop-v1", "shop-v2", "INTERNAL"} and found["shop-v2"] > 5, found
    assert (found["INTERNAL"] > 0) == bool(failing), found
