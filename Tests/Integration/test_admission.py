"""What is asked before a request is let in: rate limits, injected faults, load."""

import os
import re
import sys
import time

import grpc

from support import raw
from support.calls import through
from support.mesh import backend, policy, route
from support.processes import APPS
from support.static import rule

HEADER = {"headers": [{"name": "x-tier", "kind": "exact", "value": "free"}]}


def limit(requests, **more):
    return {"name": "all", "requests": requests, "source": "default/policy", **more}


def test_a_limit_holds_within_two_per_cent_at_ten_times_the_limit(static):
    server = static.server()
    # Two workers: the limit is one for both, however the connections fall.
    proxy = static.proxy([server], {"rateLimits": [limit(200, burst=20)]}, workers=2)
    result = proxy.load(connections=8, rate=2000, seconds=5)
    allowed, refused = result["statuses"].get("200", 0), result["statuses"].get("429", 0)
    assert set(result["statuses"]) == {"200", "429"} and result["failed"] == 0, result
    # What the limit lets in in the time that it took, and the burst of the beginning.
    expected = 200 * result["seconds"] + 20
    assert abs(allowed - expected) <= 0.02 * expected and refused > 6 * allowed, result
    assert server.counts()["/"] == allowed


def test_a_refusal_says_what_the_limit_is_and_when_to_come_again(static):
    proxy = static.proxy([static.server()], {"rateLimits": [limit(2, periodMilliseconds=60000)]})
    assert [proxy.get().status for _ in range(2)] == [200, 200]
    answer = proxy.get()
    assert answer.status == 429 and answer.reason == "rate_limited", answer
    assert 1 <= int(answer.header("retry-after")) <= 30
    assert answer.header("ratelimit-policy") == '"all";q=2;w=60'
    assert answer.header("ratelimit") == f'"all";r=0;t={answer.header("retry-after")}'
    assert answer.header("x-apus-object") == "default/policy"
    assert 'error_reason="rate_limited"' in proxy.admin("/metrics")


def test_limits_count_by_key_and_condition(static):
    by_user = limit(2, periodMilliseconds=60000, key="header", header="x-user")
    free = {**limit(1, periodMilliseconds=60000, matches=[HEADER]), "name": "free"}
    proxy = static.proxy([static.server()], {"rateLimits": [by_user, free]})

    def status(*fields):
        return proxy.get(fields=list(fields)).status
    for user in ("ann", "bob"):
        assert [status(("X-User", user)) for _ in range(3)] == [200, 200, 429]
    # Requests without the header are one more key.
    assert [status() for _ in range(3)] == [200, 200, 429]
    assert [status(("x-user", "cy"), ("x-tier", "free")), status(("x-user", "dan"), ("x-tier", "free"))] == [200, 429]
    assert status(("x-user", "eve"), ("x-tier", "paid")) == 200


def test_a_route_and_a_port_of_our_own_have_limits_of_their_own(static):
    server = static.server()
    routes = [rule("/limited", policy={"source": "default/policy", "rateLimits": [limit(1, periodMilliseconds=60000)]}),
              rule("/", 1)]
    proxy = static.proxy([server], routes=routes)
    assert [proxy.get(path).status for path in ("/limited", "/limited", "/limited/x", "/", "/")] == [200, 429, 429, 200, 200]
    own = static.proxy([server], inbound={"rateLimits": [limit(1, periodMilliseconds=60000, key="sourceAddress")]})
    assert [own.get().status for _ in range(2)] == [200, 429]


def test_faults_come_at_their_share_and_only_to_whom_they_are_meant_for(static):
    abort = {"abortPerMillion": 1000000, "abortStatus": 418, "matches": [HEADER], "source": "default/policy"}
    delay = {"delayPerMillion": 1000000, "delayMilliseconds": 300, "source": "default/policy",
             "matches": [{"headers": [{"name": "x-slow", "kind": "exact", "value": "yes"}]}]}
    share = {"abortPerMillion": 250000, "abortStatus": 503, "source": "default/policy"}
    server = static.server()
    proxy = static.proxy([server], {"faults": [abort, delay, share]})
    answer = proxy.get(fields=[("x-tier", "free")])
    assert answer.status == 418 and answer.reason == "fault_injected", answer
    assert answer.header("x-apus-object") == "default/policy"
    begin = time.monotonic()
    assert proxy.get(fields=[("x-slow", "yes")]).status == 200
    assert time.monotonic() - begin >= 0.3
    result = proxy.load(connections=4, requests=4000)
    # A quarter, within five standard deviations.
    assert abs(result["statuses"]["503"] - 1000) < 140 and set(result["statuses"]) == {"200", "503"}, result
    # What was aborted never reached the application.
    assert server.counts()["/"] == result["statuses"]["200"] + 1


def test_a_delayed_request_with_a_body_arrives_whole(static):
    server = static.server()
    proxy = static.proxy([server], {"faults": [{"delayPerMillion": 1000000, "delayMilliseconds": 200}]})
    answer = proxy.get("/hash", method="POST", body=b"x" * 300_000)
    assert answer.status == 200 and b'"length": 300000' in answer.body, answer
    both = static.proxy([server], {"faults": [{"delayPerMillion": 1000000, "delayMilliseconds": 200,
                                               "abortPerMillion": 1000000, "abortStatus": 500}]})
    begin = time.monotonic()
    assert both.get().reason == "fault_injected"
    assert time.monotonic() - begin >= 0.2


def test_more_than_an_application_can_do_is_refused_at_once(static):
    server = static.server()
    settings = {"concurrency": {"least": 2, "most": 6, "initial": 4}}
    proxy = static.proxy([server], inbound=settings)
    # Forty at a time, each of which takes 100 ms: at most sixty a second of what the application is given.
    result = proxy.load("/delay/100", connections=40, seconds=2)
    assert set(result["statuses"]) == {"200", "503"}, result
    assert result["statuses"]["200"] <= 6 * 10 * 3, result
    assert result["statuses"]["503"] > result["statuses"]["200"], result
    assert server.counts()["/delay/100"] <= result["statuses"]["200"] + 6
    assert 'error_reason="overload"' in proxy.admin("/metrics")
    # Once what is left of the load has ended nothing is refused.
    raw.eventually(lambda: proxy.get().status == 200)
    assert [proxy.get().status for _ in range(20)] == [200] * 20


def test_at_five_times_the_capacity_as_much_is_done_as_at_the_peak(static):
    """Eight threads, forty milliseconds each: 200 a second, whatever else the processors do."""
    server = static.server(options=["--work", "40", "--workers", "8"])
    unlimited, limited = static.proxy([server]), static.proxy([server], inbound={"concurrency": {}})
    # By turns, so that whatever slows the machine slows both.
    peaks, floods = [], []
    for _ in range(3):
        # More than there are threads, and no more than wait a moment: never idle, nothing is refused.
        peaks.append(unlimited.load(connections=12, seconds=1, warmup=0.3))
        # The first of them is also what the limit has to find its height in.
        floods.append(limited.load(connections=64, rate=1000, seconds=1.7))
    assert all(set(peak["statuses"]) == {"200"} for peak in peaks), peaks
    assert all(set(flood["statuses"]) == {"200", "503"} and flood["failed"] == 0 for flood in floods), floods

    def each_second(results, status="200"):
        return sum(one["statuses"][status] for one in results) / sum(one["seconds"] for one in results)
    done, best = each_second(floods), each_second(peaks)
    assert done >= 0.9 * best, (done, best)
    assert each_second(floods, "503") > 2 * done, floods
    # What is refused is refused at once: more than half of the answers take no time to speak of.
    assert all(flood["p50_us"] < 50_000 for flood in floods), floods
    gauges = dict(re.findall(r"^apus_adaptive_(\w+)(?:\{[^}]*\})? ([\d.e+-]+)$", limited.admin("/metrics"), re.M))
    assert int(gauges["limit"]) >= 8 and 0.04 <= float(gauges["calm_seconds"]) < 1, gauges
    # What was on its way at the end of the load is refused too.
    assert int(gauges["refusals_total"]) >= sum(flood["statuses"]["503"] for flood in floods), gauges


def reported(mesh, namespace):
    """The target of the policy `route` and whether it is accepted, once its status is written."""
    def written():
        return mesh.api("GET", f"/apis/apus.dev/v1/namespaces/{namespace}/trafficpolicies/route")[1]["status"]
    ancestor = raw.eventually(written)["ancestors"][0]
    return ancestor["ancestorRef"], ancestor["conditions"][0]["status"]


def test_limits_of_a_service_and_of_a_route_come_into_force_by_apply(mesh, namespace):
    servers = [mesh.server(namespace=namespace) for _ in range(2)]
    client = mesh.client(namespace=namespace)
    mesh.apply(route("server", {"matches": [{"path": {"value": "/slow"}}], "backendRefs": [backend("server")]},
                     {"backendRefs": [backend("server")]}, namespace=namespace))
    mesh.wait_for(client, "http://server/")
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "server"}
    of_route = policy("route", namespace, faultInjection=[{"matches": [{"headers": [{"name": "x-test", "value": "1"}]}],
                                                           "abort": {"status": 599}}])
    of_route["spec"]["targetRefs"] = [target]
    mesh.apply(of_route, policy("server", namespace, rateLimits=[
        {"name": "each", "requests": 3, "per": "1h", "key": {"type": "Identity"}}], retry={"attempts": 0}))
    raw.eventually(lambda: client.get("http://server/", fields=[("x-test", "1")]).status == 599)
    # Three an hour from each of two workloads; what was sent before the limit came into force does not count.
    raw.eventually(lambda: client.get("http://server/").status == 429)
    answer = client.get("http://server/")
    assert answer.status == 429 and answer.reason == "rate_limited", answer
    assert answer.header("x-apus-object") == f"{namespace}/server" and int(answer.header("retry-after")) > 60
    assert reported(mesh, namespace) == (target, "True")
    assert max(server.counts().get("/", 0) for server in servers) >= 3


def test_limits_faults_and_time_limits_of_a_route_of_grpc(mesh, namespace):
    mesh.run("shop", sys.executable, os.path.join(APPS, "grpc_version.py"), "shop", "--env", "{env}", "--failing", "50",
             namespace=namespace, protocol="grpc")
    client = mesh.client(namespace=namespace)
    target = {"group": "gateway.networking.k8s.io", "kind": "GRPCRoute", "name": "shop"}
    of_route = policy("route", namespace, rateLimits=[
        {"name": "each", "requests": 5, "per": "1h", "matches": [{"headers": [{"name": "x-limited", "value": "1"}]}]}],
        faultInjection=[{"matches": [{"headers": [{"name": "x-test", "value": "1"}]}], "abort": {"status": 404}}],
        retry={"attempts": 3, "on": ["internal"], "backoff": "1ms"})
    of_route["spec"]["targetRefs"] = [target]
    mesh.apply({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
                "metadata": {"name": "shop", "namespace": namespace},
                "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "shop"}], "rules": [
                    {"matches": [{"method": {"service": "test.Name"}}], "backendRefs": [{"name": "shop", "port": 80}]}]}},
               of_route)

    def ask(channel, *metadata):
        try:
            return channel.unary_unary("/test.Name/Get")(b"", metadata=list(metadata), timeout=5).decode()
        except grpc.RpcError as error:
            return error.code().name

    def is_in_force():
        # 404 is UNIMPLEMENTED to gRPC. A tunnel that was opened before the route is there goes on for some seconds.
        with through(client, "shop:80") as channel:
            return ask(channel, ("x-test", "1")) == "UNIMPLEMENTED"

    raw.eventually(is_in_force, 20)
    with through(client, "shop:80") as channel:
        def call(*metadata):
            return ask(channel, *metadata)
        # Every second call fails with INTERNAL, and is made again.
        assert [call() for _ in range(20)] == ["shop"] * 20
        found = [call(("x-limited", "1")) for _ in range(8)]
        assert found == ["shop"] * 5 + ["RESOURCE_EXHAUSTED"] * 3, found
    assert reported(mesh, namespace) == (target, "True")
