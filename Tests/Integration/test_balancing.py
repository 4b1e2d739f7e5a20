"""How endpoints are chosen: affinity, weights, levels of preference, subsets, pauses, ejection by comparison."""

import collections
import json

from support import raw
from support.static import rule


def names(proxy, count, path="/", **options):
    """How often each server answered."""
    return collections.Counter(proxy.get(path, **options).header("x-server") for _ in range(count))


def servers_of(static, count):
    return [static.server(f"s{index}") for index in range(count)]


def test_keys_stay_at_their_endpoints_and_few_move_when_one_goes(static):
    servers = servers_of(static, 5)
    for balancer in ("ringHash", "maglev"):
        policy = {"balancer": balancer, "balance": {"affinity": "header", "affinityName": "X-User"}}
        all_five = static.proxy(servers, policy)
        four = static.proxy(servers[:4], policy)
        users = [f"user-{number}" for number in range(60)]

        def homes(proxy):
            found = {}
            for user in users:
                seen = names(proxy, 2, fields=[("x-user", user)])
                assert len(seen) == 1, f"{user} of {balancer} went to {seen}"
                found[user] = next(iter(seen))
            return found
        before, after = homes(all_five), homes(four)
        assert len(set(before.values())) == 5, before
        moved = [user for user in users if before[user] != after[user]]
        needlessly = [user for user in moved if before[user] != "s4"]
        assert len(needlessly) <= (0 if balancer == "ringHash" else 6), (balancer, needlessly)


def test_a_cookie_is_given_once_and_keeps_the_client(static):
    servers = servers_of(static, 4)
    proxy = static.proxy(servers, {"balance": {"affinity": "cookie", "affinityName": "shop", "cookieLifetimeSeconds": 60}})
    first = proxy.get()
    cookie = first.header("set-cookie")
    assert cookie.startswith("shop=") and cookie.endswith("; Path=/; HttpOnly; Max-Age=60"), cookie
    pair = cookie.split(";")[0]
    for _ in range(6):
        again = proxy.get(fields=[("Cookie", f"other=1; {pair}")])
        assert again.header("x-server") == first.header("x-server") and again.header("set-cookie") is None, again
    assert len(names(proxy, 30)) > 1, "clients without a cookie are spread"


def test_the_source_address_is_a_key(static):
    proxy = static.proxy(servers_of(static, 4), {"balance": {"affinity": "sourceAddress"}})
    assert len(names(proxy, 12)) == 1


def test_a_session_keeps_its_endpoint_over_weights_until_that_is_gone(static):
    servers = servers_of(static, 3)
    routes = [rule(sessionPersistence={"cookie": "sid", "cookiePath": "/shop"})]
    proxy = static.proxy(servers, routes=routes)
    first = proxy.get()
    pair = first.header("set-cookie").split(";")[0]
    assert pair.startswith("sid=") and len(pair) == 20 and "; Path=/shop;" in first.header("set-cookie")
    home = first.header("x-server")
    for _ in range(6):
        again = proxy.get(fields=[("cookie", pair)])
        assert again.header("x-server") == home and again.header("set-cookie") is None, again
    # A proxy that has the same endpoints sends the session to the same one; without that endpoint it begins anew.
    other = static.proxy(servers, routes=routes)
    assert other.get(fields=[("cookie", pair)]).header("x-server") == home
    rest = static.proxy([server for server in servers if server.name != home], routes=routes)
    moved = rest.get(fields=[("cookie", pair)])
    assert moved.status == 200 and moved.header("set-cookie").startswith("sid="), moved
    header = static.proxy(servers, routes=[rule(sessionPersistence={"header": "X-Session"})])
    given = header.get().header("x-session")
    assert len({header.get(fields=[("X-Session", given)]).header("x-server") for _ in range(5)}) == 1


def test_endpoints_get_their_weights(static):
    servers = servers_of(static, 3)
    workloads = [server.workload(weight=weight) for server, weight in zip(servers, (1, 3, 6))]
    for balancer in ("roundRobin", "random", "leastRequest"):
        proxy = static.proxy(servers, {"balancer": balancer}, workloads=workloads)
        before = [server.counts().get("/", 0) for server in servers]
        proxy.load(connections=1, requests=2000)
        shares = [server.counts()["/"] - old for server, old in zip(servers, before)]
        assert all(abs(share - wanted) < 120 for share, wanted in zip(shares, (200, 600, 1200))), (balancer, shares)


def test_the_own_zone_is_preferred_and_the_next_helps_out(static):
    servers = servers_of(static, 3)
    zones = ("eu-1a", "eu-1b", "us-1a")
    workloads = [server.workload(zone=zone) for server, zone in zip(servers, zones)]
    policy = {"balance": {"isZoneAware": True}, "retry": {"attempts": 2, "backoffMilliseconds": 1}}
    proxy = static.proxy(servers, policy, workloads=workloads, proxy={"zone": "eu-1a"})
    assert names(proxy, 20) == {"s0": 20}
    # Without an endpoint in the zone the region is next.
    servers[0].program.kill()
    assert proxy.get().header("x-server") == "s1"
    raw.eventually(lambda: names(proxy, 10) == {"s1": 10})
    # What is busy is relieved.
    busy = static.proxy(servers[1:], {"balance": {"isZoneAware": True, "busyRequests": 2}}, workloads=workloads[1:],
                        proxy={"zone": "eu-1b"})
    busy.load("/delay/50", connections=12, seconds=1)
    assert servers[2].counts().get("/delay/50", 0) > 0


def test_priorities_and_failover(static):
    servers = servers_of(static, 3)
    workloads = [server.workload(labels={"role": role}) for server, role in zip(servers, ("spare", "main", "main"))]
    policy = {"balancer": "roundRobin", "balance": {"priorities": [{"labels": {"role": "main"}}]},
              "outlier": {"consecutive5xx": 2, "maxEjectionPercent": 100}, "retry": {"attempts": 3, "backoffMilliseconds": 1}}
    proxy = static.proxy(servers, policy, workloads=workloads)
    assert names(proxy, 10) == {"s1": 5, "s2": 5}
    for server in servers[1:]:
        server.program.kill()
    assert [proxy.get().header("x-server") for _ in range(10)] == ["s0"] * 10


def test_subsets_by_header(static):
    servers = servers_of(static, 3)
    workloads = [server.workload(labels={"env": env}) for server, env in zip(servers, ("blue", "blue", "green"))]
    subset = {"label": "env", "header": "x-env"}
    proxy = static.proxy(servers, {"balancer": "roundRobin", "balance": {"subset": subset}}, workloads=workloads)
    assert set(names(proxy, 20, fields=[("X-Env", "blue")])) == {"s0", "s1"}
    assert set(names(proxy, 5, fields=[("X-Env", "green")])) == {"s2"}
    assert set(names(proxy, 6)) == {"s0", "s1", "s2"}
    assert sum(names(proxy, 5, fields=[("X-Env", "red")]).values()) == 5
    strict = static.proxy(servers, {"balance": {"subset": {**subset, "isStrict": True}}}, workloads=workloads)
    answer = strict.get(fields=[("x-env", "red")])
    assert answer.status == 503 and answer.reason == "no_healthy_endpoint", answer


def test_an_endpoint_that_asks_for_a_pause_gets_it(static):
    good, bad = servers_of(static, 2)
    policy = {"balancer": "roundRobin", "retry": {"attempts": 2, "codes": [429, 503], "backoffMilliseconds": 1}}
    proxy = static.proxy([good, bad], policy)
    answer = "/raw/" + b"HTTP/1.1 429 Slow\r\nretry-after: 20\r\ncontent-length: 0\r\n\r\n".hex()
    # Both would answer so; the first to do it is left alone from then on.
    assert proxy.get(answer).status == 429
    assert len(names(proxy, 10)) == 1
    assert "apus_endpoint_rests_total 1" in proxy.admin("/metrics")
    alone = static.proxy([good], policy)
    before = good.counts().get(answer, 0)
    assert alone.get(answer).status == 429
    assert good.counts()[answer] == before + 1, "an only endpoint is not asked again before its pause is over"


def test_an_endpoint_that_fails_more_than_the_others_is_ejected(static):
    servers = servers_of(static, 5)
    # The last one is another program: it answers 500 to everything that it does not know.
    bad = static.failing("bad", share=0.5)
    policy = {"balancer": "roundRobin", "retry": {"attempts": 0},
              "outlier": {"consecutive5xx": 0, "consecutiveLocalFailures": 0, "intervalMilliseconds": 1000,
                          "baseEjectionMilliseconds": 60000, "maxEjectionPercent": 30,
                          "failurePercentage": {"threshold": 30, "requestVolume": 20}}}
    proxy = static.proxy(servers + [bad], policy)
    result = proxy.load(connections=4, rate=300, seconds=4)
    assert result["statuses"].get("500", 0) > 0, result
    after = proxy.load(connections=4, rate=300, seconds=1)
    assert set(after["statuses"]) == {"200"}, after
    assert "apus_ejections_total 1" in proxy.admin("/metrics")


def test_pages_show_the_latency_that_the_balancer_takes(static):
    """It fades without a further request."""
    proxy = static.proxy([static.server()])

    def latency():
        clusters = json.loads(proxy.admin("/endpoints"))["clusters"]
        return max(e.get("latencyMicroseconds", 0) for c in clusters for e in c.get("endpoints", ()))
    proxy.get("/delay/400")
    assert latency() > 0
    first = latency()
    raw.eventually(lambda: 0 < latency() < first * 0.95, 10, 0.1)


def test_peak_ewma_leaves_a_slow_endpoint_alone(static):
    servers = servers_of(static, 9)
    slow = static.failing("slow", share=0, delay_ms=150)
    workloads = [server.workload() for server in servers + [slow]]

    def share(balancer):
        """Of the requests, how many the slow one got."""
        proxy = static.proxy(servers + [slow], {"balancer": balancer}, workloads=workloads)
        proxy.load(connections=8, rate=200, seconds=1)
        before = slow.counts().get("/", 0)
        requests = proxy.load(connections=8, rate=200, seconds=3)["requests"]
        return (slow.counts().get("/", 0) - before) / requests
    robin, peak = share("roundRobin"), share("peakEWMA")
    assert 0.08 < robin < 0.12 and peak < robin / 3, f"{robin:.1%} with round robin, {peak:.1%} with peak EWMA"
