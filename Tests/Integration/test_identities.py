"""Several identities in one proxy: each listener acts for its own, and nobody for another."""

import json
import os
import sys

import pytest

from support import raw
from support.processes import APPS, Program, free_port
from support.sidecars import Pair, Sidecar, snapshot, workload


@pytest.fixture
def node(tmp_path):
    """A server behind its sidecar, and one proxy that speaks for two workloads beside itself."""
    port = free_port()
    program = Program([sys.executable, os.path.join(APPS, "server.py"), "server"], str(tmp_path / "server.log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    pair = Pair(tmp_path, port)
    names = ["", "cart", "front", "stranger"]
    ports = {name: free_port() for name in names}
    listeners = [{"name": f"out {name}", "kind": "outbound", "address": f"127.0.0.1:{ports[name]}",
                  "service": "default/server", "port": 80, "appProtocol": "http", "identity": name} for name in names]
    leaves = {name: pair.authority.leaf(name or "node") for name in names[:3]}
    found = snapshot("node", listeners, port, "http",
                     [workload(port, "http", pair.authority.leaf("server").identity, pair.inbound_port)], leaves[""])
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
