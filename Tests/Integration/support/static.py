"""Proxies with a configuration from a file and plain servers behind them: what a policy does, without a control plane."""

import json
import os
import socket
import sys

from . import http2, raw
from .load import Load
from .processes import APPS, TOP, Program, free_port

PROXY = os.environ.get("APUS_PROXY_PROGRAM", os.path.join(TOP, ".build", "release", "apus-proxy"))


class Server:
    """An application without a proxy."""

    def __init__(self, name, port, program):
        self.name, self.port, self.program = name, port, program

    def counts(self):
        return json.loads(raw.get(self.port, "/counts").body)

    def workload(self, service="default/server", **more):
        """How it appears in a snapshot."""
        return {"uid": self.name, "namespace": "default", "name": self.name, "address": "127.0.0.1", "app": "server",
                "services": [service], "ports": [{"appPort": self.port, "appProtocol": "http", "name": "http"}], **more}


class Server2(Server):
    """One that speaks HTTP/2."""

    def _ask(self, path):
        with http2.Client(self.port) as client:
            return json.loads(client.fetch(path).body)

    def counts(self):
        """How often each path was asked for, and body bytes that came."""
        return self._ask("/counts")

    def streams(self):
        return self._ask("/streams")


class Proxy:
    """An apus-proxy with one listener; requests to it go to `default/server`, or to the application behind it."""

    def __init__(self, world, port, admin, program):
        self.world, self.port, self.admin_port, self.program = world, port, admin, program

    def get(self, target="/", **options):
        return raw.get(self.port, target, **options)

    def load(self, path="/", **options):
        """Runs load to its end; returns what came of it."""
        with Load(self.world.load_program, self.port, path=path, **options) as load:
            load.wait()
        return load.result

    def admin(self, path):
        return raw.get(self.admin_port, path, host="localhost").body.decode()


class Static:
    """Servers and proxies of one test, in a folder; all end with `stop`."""

    def __init__(self, folder, load_program):
        self.folder, self.load_program, self.programs = str(folder), load_program, []

    def _start(self, command, name, ports, environment=None):
        program = Program(command, os.path.join(self.folder, f"{name}.log"), {**os.environ, **(environment or {})})
        self.programs.append(program)

        def listening():
            assert program.is_running(), program.output()
            for port in ports:
                socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        raw.eventually(listening)
        return program

    def failing(self, name, share=0.0, delay_ms=0):
        """A server that answers a share of the requests with 500, and all of them late."""
        return self.server(name, options=["--fail", str(share), "--wait", str(delay_ms)])

    def server(self, name="server", port=None, options=()):
        port = port or free_port()
        command = [sys.executable, os.path.join(APPS, "server.py"), name, *options]
        return Server(name, port, self._start(command, name, [port], {"PORT": str(port)}))

    def server2(self, name="server", wait_ms=0):
        """A server of HTTP/2."""
        port = free_port()
        command = [sys.executable, os.path.join(APPS, "server2.py"), name, "--wait", str(wait_ms)]
        return Server2(name, port, self._start(command, name, [port], {"PORT": str(port)}))

    def proxy(self, servers, policy=None, routes=None, inbound=None, workers=1, workloads=None, services=None, proxy=None,
              own_port=None, protocol="http", environment=None):
        """An outbound proxy for the service `default/server` with these endpoints; with `inbound` (what the port's
        configuration has besides) one in front of the first server, in plaintext."""
        port, admin = own_port or free_port(), free_port()
        listener = {"name": "test", "address": f"127.0.0.1:{port}"}
        configuration = {"namespace": "default", "workload": "client", "trustDomain": "cluster.local", **(proxy or {})}
        if inbound is None:
            listener.update(kind="outbound", service="default/server", port=80)
        else:
            listener.update(kind="inbound", port=servers[0].port, mutualTLS="disable")
            configuration["inbound"] = [{"appPort": servers[0].port, "mutualTLS": "disable", **inbound}]
        service = {"namespace": "default", "name": "server",
                   "ports": [{"number": 80, "name": "http", "targetPortName": "http", "appProtocol": protocol}]}
        if policy:
            service["policy"] = {"source": "default/policy", **policy}
        if routes:
            service["routes"] = routes
        snapshot = {"node": {"uid": "client", "namespace": "default", "workload": "client", "service": "client",
                             "serviceAccount": "client", "trustDomain": "cluster.local"},
                    "listeners": [listener], "services": [service] + (services or []),
                    "workloads": workloads or [server.workload() for server in servers], "proxy": configuration}
        name = f"proxy-{len(self.programs)}"
        path = os.path.join(self.folder, f"{name}.json")
        with open(path, "w") as file:
            json.dump(snapshot, file)
        command = [PROXY, "--config", path, "--workers", str(workers), "--admin", f"127.0.0.1:{admin}"]
        return Proxy(self, port, admin, self._start(command, name, [port, admin], environment))

    def stop(self):
        for program in reversed(self.programs):
            program.kill()


def rule(prefix="/", index=0, service="server", **more):
    """A rule of the route `default/route` that sends what begins with the prefix to a service."""
    return {"route": "default/route", "ruleIndex": index, "matches": [{"path": {"kind": "prefix", "value": prefix}}],
            "backends": [{"namespace": "default", "service": service, "port": 80, "weight": 1}], **more}
