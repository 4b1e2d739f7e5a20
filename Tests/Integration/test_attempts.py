"""Attempts beyond the first: hedging, health checks, storms of retries, cascades."""

import re
import time

import pytest

from support import raw
from support.static import rule


def counted(proxy, name):
    """A counter of the proxy's own."""
    for line in proxy.admin("/metrics").splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return 0.0


def states(proxy):
    """How many endpoints are in which state, as its metrics tell."""
    found = re.findall(r'^apus_service_endpoints\{.*state="(\w+)"\} (\d+)', proxy.admin("/metrics"), re.M)
    return {state: int(count) for state, count in found if count != "0"}


def test_a_second_try_answers_for_a_slow_first_one(static):
    fast, slow = static.server("fast"), static.failing("slow", delay_ms=1500)
    policy = {"balancer": "roundRobin", "retry": {"hedgeDelayMilliseconds": 100}}
    proxy = static.proxy([fast, slow], policy)
    times = []
    for _ in range(8):
        begin = time.monotonic()
        answer = proxy.get("/hash", method="PUT", body=b"once or twice" * 100)
        times.append(time.monotonic() - begin)
        assert answer.status == 200 and answer.header("x-server") == "fast" and b'"length": 1300' in answer.body, answer
    assert max(times) < 1.2, times
    assert counted(proxy, "apus_hedged_requests_total") >= 3
    # What must not be done twice is not.
    before = fast.counts().get("/hash", 0)
    answers = [proxy.get("/hash", method="POST", body=b"once").header("x-server") for _ in range(2)]
    assert sorted(answers) == ["fast", "slow"] and fast.counts()["/hash"] == before + 1


def test_second_tries_stay_within_the_budget(static):
    servers = [static.failing(f"s{index}", delay_ms=100) for index in range(2)]
    policy = {"balancer": "roundRobin", "retry": {"hedgeDelayMilliseconds": 10},
              "retryBudget": {"percent": 10, "minRetriesPerSecond": 1}}
    proxy = static.proxy(servers, policy)
    result = proxy.load(connections=16, requests=600)
    assert set(result["statuses"]) == {"200"} and result["failed"] == 0, result
    attempts = sum(server.counts()["/"] for server in servers)
    assert 600 < attempts <= 600 * 1.1 + 25, attempts


def test_an_endpoint_that_fails_its_checks_gets_nothing_until_it_is_well(static):
    well, ill = static.server("well"), static.failing("ill", share=1)
    check = {"path": "/healthz", "intervalMilliseconds": 1000, "unhealthyThreshold": 1, "healthyThreshold": 1}
    policy = {"balancer": "roundRobin", "healthCheck": check, "outlier": {"consecutive5xx": 0}, "retry": {"attempts": 0}}
    proxy = static.proxy([well, ill], policy)
    # What nobody asks for is looked at once a minute; from the first request on, once an interval.
    proxy.get()
    raw.eventually(lambda: counted(proxy, "apus_health_check_failures_total") == 1)
    assert [proxy.get().status for _ in range(10)] == [200] * 10
    assert states(proxy) == {"failing": 1, "healthy": 1}
    assert "failing" in proxy.admin("/clusters") and '"failing"' in proxy.admin("/endpoints")
    assert well.counts()["/healthz"] >= 1
    # The same port comes back as a program that is well.
    ill.program.kill()
    back = static.server("back", port=ill.port)
    raw.eventually(lambda: counted(proxy, "apus_health_check_recoveries_total") == 1)
    assert states(proxy) == {"healthy": 2}
    raw.eventually(lambda: proxy.get().header("x-server") == "back")
    # A check of the connection alone.
    tcp = static.proxy([well, back], {"balancer": "roundRobin", "healthCheck": {**check, "type": "tcp", "path": ""},
                                      "outlier": {"consecutive5xx": 0, "consecutiveLocalFailures": 0}})
    tcp.get()
    back.program.kill()
    raw.eventually(lambda: counted(tcp, "apus_health_check_failures_total") == 1)
    assert [tcp.get().header("x-server") for _ in range(6)] == ["well"] * 6


def test_what_nobody_asks_for_is_checked_rarely(static):
    servers = [static.server(f"s{index}") for index in range(3)]
    proxy = static.proxy(servers, {"healthCheck": {"path": "/healthz", "intervalMilliseconds": 1000}})

    def asked():
        return sum(server.counts().get("/healthz", 0) for server in servers)
    time.sleep(4)
    # Each at most once in a minute; by the interval there were nine at least.
    assert asked() <= 3
    proxy.get()
    before = asked()
    raw.eventually(lambda: asked() >= before + 6)


def test_a_try_has_a_time_of_its_own(static):
    slow, fast = static.failing("slow", delay_ms=2000), static.server("fast")
    policy = {"balancer": "roundRobin", "retry": {"attempts": 1, "perTryMilliseconds": 200, "backoffMilliseconds": 1},
              "outlier": {"consecutiveLocalFailures": 0, "consecutive5xx": 0}}
    proxy = static.proxy([slow, fast], policy)
    begin = time.monotonic()
    assert {proxy.get().header("x-server") for _ in range(4)} == {"fast"}
    assert time.monotonic() - begin < 1.8
    alone = static.proxy([slow], policy)
    answer = alone.get()
    assert answer.status == 504 and answer.reason == "per_try_timeout", answer


@pytest.mark.parametrize("ejection", [{}, {"outlier": {"maxEjectionPercent": 50}}], ids=["standard", "half"])
def test_a_storm_of_retries_is_bounded_and_the_healthy_half_carries_its_load(static, ejection):
    """What it can carry is all that is asked. That it does so at its limit too is shown in virtual time (`RetryStorm`)."""
    good = [static.server(f"good{index}") for index in range(3)]
    bad = [static.server(f"bad{index}", options=["--fail", "1", "--status", "503"]) for index in range(3)]
    proxy = static.proxy(good + bad, {"retry": {"attempts": 3, "backoffMilliseconds": 1}, **ejection})
    result = proxy.load(connections=8, rate=300, seconds=6)
    attempts = sum(server.counts().get("/", 0) for server in good + bad)
    requests = result["requests"]
    # 20 % of the requests and 10 a second, which may have been saved up over ten seconds.
    assert attempts <= requests + 0.2 * requests + 10 * (result["seconds"] + 10), (attempts, result)
    assert result["statuses"].get("200", 0) >= 0.98 * requests, result
    # Those that fail are the second choice, and are not tried again and again.
    assert sum(server.counts().get("/", 0) for server in bad) <= 0.1 * attempts, (attempts, result)


def test_a_failing_leaf_costs_its_callers_nothing_but_its_own_route(static):
    """Five services in a chain, each behind a proxy that sends `/leaf` on and answers the rest itself."""
    leaf = static.server("leaf", options=["--fail", "1", "--status", "503"])
    policy = {"retry": {"attempts": 2, "backoffMilliseconds": 1}, "retryBudget": {"percent": 20, "minRetriesPerSecond": 2},
              "circuitBreaker": {"maxRequests": 50}}
    hop = static.proxy([leaf], policy)
    for index in range(4):
        server = static.server(f"service{index}")
        down = {"namespace": "default", "name": "next",
                "ports": [{"number": 80, "name": "http", "targetPortName": "http", "appProtocol": "http"}],
                "policy": {"source": "default/next", **policy}}
        workload = {"uid": f"next{index}", "namespace": "default", "name": "next", "address": "127.0.0.1", "app": "next",
                    "services": ["default/next"], "ports": [{"appPort": hop.port, "appProtocol": "http", "name": "http"}]}
        hop = static.proxy([server], policy, routes=[rule("/leaf", 0, "next"), rule("/", 1)], services=[down],
                           workloads=[server.workload(), workload])
    rate, seconds = 100, 4
    with_leaf = hop.load("/leaf", connections=4, rate=rate, seconds=seconds)
    beside = hop.load("/", connections=4, rate=rate, seconds=2)
    requests = with_leaf["requests"]
    # Without budgets three attempts at each of five hops would make 243 of every request.
    attempts = leaf.counts()["/leaf"]
    bound = requests
    for _ in range(5):
        bound = bound * 1.2 + 2 * (seconds + 10)
    assert requests <= attempts <= bound, (requests, attempts, bound)
    assert set(with_leaf["statuses"]) == {"503"}, with_leaf
    assert set(beside["statuses"]) == {"200"} and beside["failed"] == 0, beside


def test_copies_of_requests_neither_delay_nor_fail_them(static):
    server, shadow = static.server("server"), static.failing("shadow", share=1, delay_ms=500)
    mirror = {"namespace": "default", "service": "shadow", "port": 80, "numerator": 1}
    port = [{"number": 80, "name": "http", "targetPortName": "http", "appProtocol": "http"}]

    def mirroring(target, **more):
        return static.proxy([server], routes=[rule("/", 0, filters={"mirrors": [{**mirror, **more}]})],
                            services=[{"namespace": "default", "name": "shadow", "ports": port}],
                            workloads=[server.workload(), target.workload("default/shadow")])
    proxy = mirroring(shadow)
    times = []
    for _ in range(5):
        begin = time.monotonic()
        answer = proxy.get("/hash", method="POST", body=b"copied" * 1000)
        times.append(time.monotonic() - begin)
        assert answer.status == 200 and b'"length": 6000' in answer.body, answer
    assert max(times) < 0.4, times
    raw.eventually(lambda: shadow.counts().get("/hash") == 5)
    # A share of them, as it should be; and what is copied arrives whole.
    other = static.server("other")
    half = mirroring(other, denominator=2)
    result = half.load(connections=4, requests=1000)
    assert set(result["statuses"]) == {"200"}, result
    raw.eventually(lambda: abs(other.counts().get("/", 0) - 500) < 100)
    whole = mirroring(other)
    whole.get("/hash", method="PUT", body=b"z" * 20000)
    raw.eventually(lambda: other.counts().get("/hash") == 1)
    # Where nobody takes the copies nothing changes for the client.
    other.program.kill()
    result = whole.load(connections=4, requests=300)
    assert set(result["statuses"]) == {"200"} and result["failed"] == 0, result
