"""Releases end to end: real services, real proxies, the control plane judging by what they count."""

import http.server
import json
import threading
import time

import pytest

from support import raw
from support.mesh import route
from support.releases import Shop, canary, rollout

RATE = 50


@pytest.fixture
def shop(mesh, namespace):
    """Starts the service with what its second version does wrong."""
    return lambda second=None: Shop(mesh, namespace, second or {})


def failures(result):
    """How many requests were not answered with 200."""
    return result["requests"] + result["failed"] - result["statuses"].get("200", 0)


# What the new version does wrong, and what is asked of it.
FAULTS = {
    "5 % more errors": ({"failing": 5}, ["/"]),
    "twice the latency": ({"slow": 100}, ["/delay/50"]),
    "errors in one route": ({"failing": 50, "only": "/checkout"}, ["/", "/", "/", "/checkout"]),
}


def test_bad_releases_are_taken_back_within_a_minute(mesh, namespace):
    spec = canary(10, 50, pause="60s")
    shops = {name: Shop(mesh, f"{namespace[:40]}-{index}", fault)
             for index, (name, (fault, _)) in enumerate(FAULTS.items())}
    for shop in shops.values():
        shop.adopt(**spec)
    loads = {name: [shop.client.load(f"http://shop{path}", rate=RATE / len(FAULTS[name][1]), connections=8)
                    for path in FAULTS[name][1]] for name, shop in shops.items()}
    for load in (load for group in loads.values() for load in group):
        load.__enter__()
    try:
        time.sleep(3)
        begin = time.monotonic()
        for shop in shops.values():
            mesh.apply(rollout(shop.namespace, "v2", **spec))
        took = {}
        for name, shop in shops.items():
            status = shop.until("RolledBack", seconds=60 - (time.monotonic() - begin))
            took[name] = time.monotonic() - begin
            assert status["reason"] == "CheckFailed", (name, status)
            assert shop.weights() == {"shop-v1": 100, "shop-v2": 0}
        # The share is one of the minute that a release may take.
        time.sleep(max(0, begin + 45 - time.monotonic()))
    finally:
        for load in (load for group in loads.values() for load in group):
            load.finish()
    for name, group in loads.items():
        total = sum(load.result["requests"] for load in group)
        failed = sum(failures(load.result) for load in group)
        print(f"{name}: taken back after {took[name]:.1f} s, {failed} of {total} requests failed")
        assert total > 30 * RATE, (name, [load.result for load in group])
        assert failed <= 0.005 * total, f"{name}: {failed} of {total} requests failed, taken back after {took[name]:.0f} s"
    for shop in shops.values():
        assert all(shop.client.get("http://shop/").body == b"shop-v1\n" for _ in range(20))


def test_a_good_release_is_promoted_with_no_failed_request(shop):
    shop = shop()
    # Answers of less than a millisecond are as quick as the machine is busy: only a gross difference would count.
    spec = canary(20, 50, pause="3s", latency={"maxRatio": 10, "quantile": 90})
    shop.adopt(**spec)
    with shop.client.load("http://shop/", rate=100, connections=4) as load:
        time.sleep(1)
        shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
        waited = shop.mesh.cli("rollout", "status", "shop", "-n", shop.namespace, "--wait", "--timeout", "120",
                               "-o", "json", seconds=140)
        assert json.loads(waited.stdout)["stableVersion"] == "v2"
        raw.eventually(lambda: shop.weights() == {"shop-v2": 100}, 10)
    load.assert_all_answered(at_least=500)
    # The weights are in force a moment after they are written.
    raw.eventually(lambda: all(shop.client.get("http://shop/").body == b"shop-v2\n" for _ in range(20)), 10)


def test_somebody_elses_edit_stops_it_until_a_person_says_so(shop):
    shop = shop()
    spec = {"canary": {"steps": [{"weight": 10, "pause": "1h"}]}, "analysis": {"mode": "Off"}}
    shop.adopt(**spec)
    shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
    shop.until("Progressing")
    raw.eventually(lambda: shop.weights() == {"shop-v1": 90, "shop-v2": 10}, 10)
    shop.mesh.apply(route("shop", {"backendRefs": [{"name": "shop-v1", "port": 80, "weight": 60},
                                                   {"name": "shop-v2", "port": 80, "weight": 40}]},
                          namespace=shop.namespace))
    status = shop.until("Stopped")
    assert status["reason"] == "RouteEdited" and "somebody else" in status["message"]
    time.sleep(3)
    assert shop.weights() == {"shop-v1": 60, "shop-v2": 40}, "it does not fight"
    run = shop.mesh.cli
    told = run("rollout", "status", "shop", "-n", shop.namespace, check=False)
    words = " ".join(told.stdout.split())
    assert told.returncode == 1 and "to shop-v1:60,shop-v2:40" in words and "as the rollout last wrote it:" in words, told
    assert "until `apus rollout resume shop` (write them again) or `abort` (all to v1)" in words, told
    refused = run("rollout", "promote", "shop", "-n", shop.namespace, check=False)
    assert refused.returncode == 6 and "stopped" in refused.stderr
    run("rollout", "resume", "shop", "-n", shop.namespace)
    raw.eventually(lambda: shop.weights() == {"shop-v1": 90, "shop-v2": 10}, 10)
    assert run("rollout", "status", "shop", "-n", shop.namespace, check=False).returncode == 7
    run("rollout", "abort", "shop", "-n", shop.namespace)
    raw.eventually(lambda: shop.weights() == {"shop-v1": 100, "shop-v2": 0}, 10)
    picture = run("rollout", "watch", "shop", "-n", shop.namespace, check=False)
    assert picture.returncode == 1 and "AbortedByPerson" in picture.stdout
    lines = picture.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80, picture.stdout


def test_blue_and_green_with_a_gate_testers_and_the_way_back(shop):
    shop = shop()
    asked = []

    class Gate(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200 if len(asked) > 2 else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        spec = {"blueGreen": {"previewService": "shop-preview", "autoPromote": True, "returnWindow": "1h"},
                "analysis": {"interval": "1s"},
                "gates": [{"name": "go", "url": f"http://127.0.0.1:{server.server_port}/go"}]}
        shop.adopt(**spec)
        shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
        shop.mesh.wait_for(shop.client, "http://shop-preview/")
        raw.eventually(lambda: shop.client.get("http://shop-preview/").body == b"shop-v2\n", 10)
        raw.eventually(lambda: shop.status()["reason"] == "ReturnWindow", 30)
        assert len(asked) > 2 and asked[0]["candidateVersion"] == "v2", asked
        raw.eventually(lambda: all(shop.client.get("http://shop/").body == b"shop-v2\n" for _ in range(10)), 10)
        shop.mesh.cli("rollout", "abort", "shop", "-n", shop.namespace)
        raw.eventually(lambda: all(shop.client.get("http://shop/").body == b"shop-v1\n" for _ in range(10)), 5)
    finally:
        server.shutdown()


def test_testers_reach_the_new_version_by_a_header(shop):
    shop = shop()
    spec = {"canary": {"steps": [{"weight": 0, "manual": True}],
                       "testers": [{"headers": [{"name": "x-tester", "value": "yes"}]}]}}
    shop.adopt(**spec)
    shop.mesh.apply(rollout(shop.namespace, "v2", **spec))
    raw.eventually(lambda: shop.client.get("http://shop/", fields=[("x-tester", "yes")]).body == b"shop-v2\n", 20)
    assert all(shop.client.get("http://shop/").body == b"shop-v1\n" for _ in range(20))
    shop.mesh.cli("rollout", "promote", "shop", "-n", shop.namespace)
    raw.eventually(lambda: all(shop.client.get("http://shop/").body == b"shop-v2\n" for _ in range(10)), 10)


def test_a_release_outlives_the_control_plane(own_mesh):
    shop = Shop(own_mesh, "default", {})
    spec = {"canary": {"steps": [{"weight": 10, "pause": "3s"}, {"weight": 40, "manual": True}]},
            "analysis": {"mode": "Off", "interval": "1s"}}
    shop.adopt(**spec)
    own_mesh.apply(rollout("default", "v2", **spec))
    shop.until("Progressing")
    own_mesh.kill_control_plane()
    own_mesh.start()
    status = shop.until("Paused")
    assert status["weight"] == 40 and status["reason"] == "ManualStep", status
    assert shop.weights() == {"shop-v1": 60, "shop-v2": 40}
    own_mesh.cli("rollout", "promote", "shop")
    assert shop.until("Idle")["stableVersion"] == "v2"
