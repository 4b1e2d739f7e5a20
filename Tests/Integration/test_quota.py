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


def flood(clients, seconds, rate, **options):
    """Load through all the clients at once; how many each got in, and how many requests it made."""
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(client.load(rate=rate, seconds=seconds, connections=4, **options))
                 for client in clients]
        for load in loads:
            load.wait()
    for load in loads:
        assert set(load.result["statuses"]) <= {"200", "429"} and load.result["failed"] == 0, load.result
    return [load.result["statuses"].get("200", 0) for load in loads], sum(load.result["requests"] for load in loads)


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
    time.sleep(0.5)
    let_in, sent = flood(clients, seconds=6, rate=340)
    expected = 100 * 6 + 20
    assert abs(sum(let_in) - expected) <= expected * 0.05 and sent > 3 * expected, (let_in, sent)
    # All of them want more than there is: they get equal parts.
    assert max(let_in) - min(let_in) <= expected * 0.1, let_in
    # What one does not need is the others'.
    time.sleep(0.5)
    alone, _ = flood(clients[:1], seconds=4, rate=1000)
    assert abs(alone[0] - 420) <= 420 * 0.06, alone

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
    flood(clients, seconds=1, rate=300)
    os.kill(mesh.control_plane.pid, signal.SIGSTOP)
    try:
        # The first second may pass before its silence is noticed.
        flood(clients, seconds=1.5, rate=300)
        let_in, _ = flood(clients, seconds=5, rate=300)
        assert abs(sum(let_in) - 450) <= 450 * 0.1, let_in
        assert max(let_in) - min(let_in) <= 20, let_in
        # Those that stay keep to a share each, even alone.
        alone, _ = flood(clients[:1], seconds=3, rate=300)
        # 30 a second and what was saved up. A machine that is busy lets fewer of the requests come in time, never more.
        assert 50 <= alone[0] <= 93 + 15, alone
    finally:
        os.kill(mesh.control_plane.pid, signal.SIGCONT)
    # Heard again, it divides the whole limit among those who need it.

    def whole():
        found, _ = flood(clients[:1], seconds=2, rate=600)
        assert abs(found[0] - 185) <= 25, found
        return True
    raw.eventually(whole, 15)
