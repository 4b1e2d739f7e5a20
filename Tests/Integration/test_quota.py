"""Rate limits that all proxies of the mesh share."""

import contextlib
import os
import signal
import time

import pytest

from support import raw
from support.mesh import policy


def shared(name="all", requests=100, **more):
    return {"name": name, "requests": requests, "side": "Client", "scope": "Global", **more}


class Flood:
    """Load through all the clients at once: how many each got in, how many requests they made, and for how long: from the
    first beginning to the last end (`most`), and while all of them asked (`least`). A machine that was too busy to make
    four fifths of the requests shows nothing, and is asked again."""

    def __init__(self, clients, seconds, rate):
        for _ in range(10):
            self.run(clients, seconds, rate)
            if self.sent >= 0.8 * rate * seconds * len(clients) and self.most < seconds + 1:
                return
            time.sleep(1)
        raise AssertionError(f"{self.sent} requests in {self.most} s, {rate} a second for {seconds} s were meant")

    def run(self, clients, seconds, rate):
        begin = time.monotonic()
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(client.load(rate=rate, seconds=seconds, connections=4)) for client in clients]
            started = time.monotonic()
            for load in loads:
                load.wait()
        self.most = time.monotonic() - begin
        self.least = min(load.result["seconds"] for load in loads) - (started - begin)
        for load in loads:
            assert set(load.result["statuses"]) <= {"200", "429"} and load.result["failed"] == 0, load.result
        self.let_in = [load.result["statuses"].get("200", 0) for load in loads]
        self.sent = sum(load.result["requests"] for load in loads)

    def assert_within(self, share, rate, burst=0):
        """Together they got in what a limit of `rate` a second says, but for `share` of it."""
        total = sum(self.let_in)
        assert (rate * self.least) * (1 - share) <= total <= (rate * self.most + burst) * (1 + share), vars(self)

    def assert_equal(self, share, rate):
        """All of them want more than there is: they get equal parts of what came while all asked."""
        spread = max(self.let_in) - min(self.let_in)
        assert spread <= rate * self.most * share + rate * (self.most - self.least), vars(self)


@pytest.fixture(name="clients")
def three_clients(mesh, namespace):
    mesh.quick_server(namespace=namespace)
    clients = [mesh.client(f"client-{number}", namespace=namespace) for number in range(3)]
    for client in clients:
        mesh.wait_for(client, "http://server/")
    return clients


def in_force(clients, path="/"):
    for client in clients:
        raw.eventually(lambda client=client: any(
            client.get(f"http://server{path}").reason == "quota_exceeded" for _ in range(20)))


def test_three_proxies_share_one_limit_within_five_per_cent(mesh, namespace, clients):
    mesh.apply(policy("server", namespace, rateLimits=[shared(requests=100, burst=20)]))
    in_force(clients)
    # Ten times the limit.
    together = Flood(clients, seconds=6, rate=340)
    together.assert_within(0.05, 100, burst=20)
    together.assert_equal(0.1, 100)
    # What one does not need is the others'.
    Flood(clients[:1], seconds=4, rate=1000).assert_within(0.05, 100, burst=20)

    answer = raw.eventually(lambda: next(
        found for found in (clients[0].get("http://server/") for _ in range(200)) if found.status == 429))
    assert answer.reason == "quota_exceeded" and answer.header("x-apus-object") == f"{namespace}/server", answer
    assert int(answer.header("retry-after")) >= 1
    assert answer.header("ratelimit-policy") == '"all";q=100;w=1'
    assert answer.header("ratelimit").startswith('"all";r=0;t=')
    assert 'error_reason="quota_exceeded"' in clients[0].admin("/metrics").body.decode()
    why = mesh.cli("why", "--from", f"{namespace}/client-0", "--to", f"{namespace}/server", check=False)
    assert "quota_exceeded" in why.stdout and "TrafficPolicy" in why.stdout, why


def test_keys_have_limits_of_their_own_in_the_whole_mesh(mesh, namespace, clients):
    mesh.apply(policy("server", namespace, rateLimits=[
        shared("user", 12, per="1h", key={"type": "Header", "header": "x-user"}),
        shared("caller", 300, per="1h", key={"type": "Identity"})]))
    in_force(clients)

    def get(client, user):
        return client.get("http://server/", fields=[("x-user", user)]).status
    for user in ("ann", "bob"):
        # Requests come one by one at proxies in turn; the limit is reached by all together.
        statuses = []
        for number in range(60):
            statuses.append(get(clients[number % 3], user))
            time.sleep(0.02)
        # Each proxy may be a quarter of the burst ahead before it has heard of the others.
        assert 12 <= statuses.count(200) <= 12 + 3 * 3 and set(statuses[-20:]) == {429}, (user, statuses)
    # Routes have keys of their own too, and the other limit is far from being reached.
    answer = clients[0].get("http://server/", fields=[("x-user", "ann")])
    assert int(answer.header("retry-after")) > 60 and answer.header("ratelimit-policy") == '"user";q=12;w=3600'


def test_without_the_control_plane_proxies_go_on_with_their_shares(own_mesh):
    mesh = own_mesh
    mesh.quick_server()
    clients = [mesh.client(f"client-{number}") for number in range(3)]
    for client in clients:
        mesh.wait_for(client, "http://server/")
    mesh.apply(policy("server", rateLimits=[shared(requests=90, burst=9)]))
    in_force(clients)
    Flood(clients, seconds=1, rate=300)
    os.kill(mesh.control_plane.pid, signal.SIGSTOP)
    try:
        # The first second may pass before its silence is noticed.
        Flood(clients, seconds=1.5, rate=300)
        together = Flood(clients, seconds=5, rate=300)
        together.assert_within(0.1, 90, burst=9)
        together.assert_equal(0.05, 90)
        # Those that stay keep to a share each, even alone: 30 a second, and what was saved up.
        Flood(clients[:1], seconds=3, rate=300).assert_within(0.1, 30, burst=9)
    finally:
        os.kill(mesh.control_plane.pid, signal.SIGCONT)
    # Heard again, it divides the whole limit among those who need it.

    def whole():
        Flood(clients[:1], seconds=2, rate=600).assert_within(0.1, 90, burst=9)
        return True
    raw.eventually(whole)
