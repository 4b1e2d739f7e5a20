"""Several identities in one proxy: each listener acts for its own, and nobody for another."""

import json
import os
import sys

import pytest

from support import raw
from support.processes import APPS, Program, free_port
from support.sidecars import Pair, Sidecar, snapshot, workload


@pytest.fixture
def inbound_port():
    return free_port()


@pytest.fixture
def node(tmp_path, inbound_port):
    """A server behind its sidecar, and one proxy that speaks for two workloads beside itself."""
    port = free_port()
    program = Program([sys.executable, os.path.join(APPS, "server.py"), "server"], str(tmp_path / "server.log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    pair = Pair(tmp_path, port, inbound=inbound_port)
    names = ["", "cart", "front", "stranger"]
    ports = {name: free_port() for name in names}
    listeners = [{"name": f"out {name}", "kind": "outbound", "address": f"127.0.0.1:{ports[name]}",
                  "service": "default/server", "port": 80, "appProtocol": "http", "identity": name} for name in names]
    leaves = {name: pair.authority.leaf(name or "node") for name in names[:3]}
    found = snapshot("node", listeners, port, "http",
                     [workload(port, "http", pair.authority.leaf("server").identity, pair.inbound_port)], leaves[""])
    # Another service, whose workload is said to be at the same address.
    ports["impostor"] = free_port()
    listeners.append({"name": "out impostor", "kind": "outbound", "address": f"127.0.0.1:{ports['impostor']}",
                      "service": "default/other", "port": 80, "appProtocol": "http"})
    found["services"].append({**found["services"][0], "name": "other"})
    found["workloads"].append({**workload(port, "http", pair.authority.leaf("other").identity, pair.inbound_port),
                               "uid": "other", "name": "other", "app": "other", "services": ["default/other"]})
    found["identities"] = [{"name": name, "certificateChain": leaves[name].chain, "privateKey": leaves[name].key}
                           for name in names[1:3]]
    sidecar = Sidecar(tmp_path, "node", found, ports[""])
    yield ports, leaves
    sidecar.stop()
    pair.stop()
    program.stop()


def caller(port):
    """Who the application is told has called."""
    fields = json.loads(raw.get(port, "/headers", host="server").body)["fields"]
    return next(value for name, value in fields if name.lower() == "x-forwarded-client-cert")


def test_each_listener_calls_under_its_own_name(node):
    ports, leaves = node
    for _ in range(2):
        for name, leaf in leaves.items():
            assert caller(ports[name]).endswith(f"URI={leaf.identity}"), name


def test_a_name_without_a_certificate_reaches_nobody(node):
    ports, _ = node
    answer = raw.get(ports["stranger"], "/", host="server")
    assert answer.status == 404 and answer.header("x-apus-reason") == "no_service"


def connections(port):
    """Connections to a port of this machine that are open."""
    with open("/proc/net/tcp") as file:
        return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in file)


def test_connections_are_kept_for_each_name_and_carry_a_hundred_streams(node, inbound_port):
    """150 requests at a time under each of three names: two connections for each name, and none carries another's."""
    ports, leaves = node
    clients = {name: [raw.Connection(ports[name], 60) for _ in range(150)] for name in leaves}
    for several in clients.values():
        for client in several:
            client.request("GET", "/delay/3000", host="server")
    raw.eventually(lambda: connections(inbound_port) == 2 * len(leaves), 10)
    for several in clients.values():
        for client in several:
            assert client.response().status == 200
            client.socket.close()
    assert connections(inbound_port) == 2 * len(leaves)
    for name, leaf in leaves.items():
        assert caller(ports[name]).endswith(f"URI={leaf.identity}"), name


def test_a_connection_to_one_name_serves_no_other(node):
    """At the same address another workload is expected: the open connection is not used for it."""
    ports, _ = node
    assert raw.get(ports[""], "/", host="server").status == 200
    answer = raw.get(ports["impostor"], "/", host="other")
    assert (answer.status, answer.header("x-apus-reason")) == (503, "tls_identity_mismatch"), answer
