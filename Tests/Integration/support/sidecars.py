"""Proxies with a fixed configuration and no control plane: up in milliseconds, one hop or a pair with mutual TLS."""

import itertools
import json
import os
import re

from . import raw
from .certificates import TRUST_DOMAIN, Authority
from .processes import TOP, Program, free_port

PROXY = os.environ.get("APUS_PROXY_PROGRAM", os.path.join(TOP, ".build", "release", "apus-proxy"))
SERIAL = itertools.count()


def workload(port, protocol, identity=None, inbound_port=None):
    """The one instance of the service `default/server`."""
    found = {"uid": "server", "namespace": "default", "name": "server", "address": "127.0.0.1", "app": "server",
             "services": ["default/server"],
             "ports": [{"appPort": port, "appProtocol": protocol, "name": protocol}]}
    if identity:
        found["identity"] = identity
        found["ports"][0]["inboundPort"] = inbound_port
    return found


def snapshot(account, listeners, port, protocol, workloads, leaf=None, **service):
    found = {
        "node": {"uid": account, "namespace": "default", "workload": account, "service": account,
                 "serviceAccount": account, "trustDomain": TRUST_DOMAIN},
        "listeners": listeners,
        "services": [{"namespace": "default", "name": "server", "ports": [
            {"number": 80, "name": protocol, "appProtocol": protocol, "targetPort": port}], **service}],
        "workloads": workloads,
        "proxy": {"namespace": "default", "workload": account, "trustDomain": TRUST_DOMAIN}}
    if leaf:
        found["certificate"] = leaf.snapshot()
    return found


def listening(port):
    with open("/proc/net/tcp") as file:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file)


class Sidecar(Program):
    """An `apus-proxy` on a configuration; `port` is where its one listener listens."""

    def __init__(self, folder, name, configuration, port, arguments=()):
        self.port, self.admin_port = port, free_port()
        os.makedirs(str(folder), exist_ok=True)
        base = os.path.join(str(folder), f"{name}-{next(SERIAL)}")
        with open(base + ".json", "w") as file:
            json.dump(configuration, file, indent=1)
        super().__init__([PROXY, "--config", base + ".json", "--workers", "1", "--admin", f"127.0.0.1:{self.admin_port}",
                          *arguments], base + ".log")

        def listens():
            assert self.is_running(), self.output()
            # Without a connection, which would count, and for which a tunnel would be made.
            return listening(port) and self.metrics()
        raw.eventually(listens, 15, every=0.01)

    def metrics(self):
        return raw.get(self.admin_port, "/metrics", host="localhost").body.decode()

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in self.metrics().splitlines():
            found = re.match(rf"{re.escape(name)}(?:\{{(.*)\}})? ([0-9.e+-]+)$", line)
            if found and all(label in (found[1] or "") for label in wanted):
                total += float(found[2])
        return total

    def logs(self):
        yield os.path.basename(self.log), self.output()[-6000:]


class Hop:
    """One sidecar on the client's side of an application without a mesh: listener → application."""

    def __init__(self, folder, port, protocol="http", arguments=(), **service):
        listen = free_port()
        listener = {"name": "out", "kind": "outbound", "address": f"127.0.0.1:{listen}", "service": "default/server",
                    "port": 80, "appProtocol": protocol}
        self.client = Sidecar(folder, "client", snapshot(
            "client", [listener], port, protocol, [workload(port, protocol)], **service), listen, arguments)
        self.port, self.sidecars = listen, [self.client]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for sidecar in self.sidecars:
            sidecar.stop()

    def logs(self):
        for sidecar in self.sidecars:
            yield from sidecar.logs()


class Pair(Hop):
    """Two sidecars with mutual TLS between them: listener → client's sidecar → server's sidecar → application."""

    def __init__(self, folder, port, protocol="http", authority=None, arguments=(), inbound=None, **service):
        authority = authority or Authority(os.path.join(str(folder), "certificates"))
        self.authority = authority
        server, client = authority.leaf("server"), authority.leaf("client")
        inbound, listen = inbound or free_port(), free_port()
        self.server = Sidecar(folder, "server", snapshot(
            "server", [{"name": "in", "kind": "inbound", "address": f"127.0.0.1:{inbound}", "port": port,
                        "appProtocol": protocol, "mutualTLS": "strict"}],
            port, protocol, [workload(port, protocol)], server), inbound, arguments)
        try:
            self.client = Sidecar(folder, "client", snapshot(
                "client", [{"name": "out", "kind": "outbound", "address": f"127.0.0.1:{listen}",
                            "service": "default/server", "port": 80, "appProtocol": protocol}],
                port, protocol, [workload(port, protocol, server.identity, inbound)], client, **service), listen,
                arguments)
        except BaseException:
            self.server.stop()
            raise
        self.port, self.inbound_port, self.sidecars = listen, inbound, [self.client, self.server]
