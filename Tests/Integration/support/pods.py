"""Workloads with ports of their own numbers, as pods have them: each has a loopback address to itself, an echo
application, and a sidecar that is started with the proxy's own options."""

import json
import os
import random
import sys

from . import raw
from .processes import APPS, TOP, Program, free_port

PROXY = os.environ.get("APUS_PROXY_PROGRAM", os.path.join(TOP, ".build", "release", "apus-proxy"))
PORTS = (8080, 8443, 9090, 7070)


class Pod:
    def __init__(self, name, namespace, address, ready):
        self.name, self.namespace, self.address, self.ready = name, namespace, address, ready
        self.forward = ready["forward"]
        self.admin = ready["admin"]

    def request(self, url, method="GET", fields=(), host=None, body=b""):
        """A request as the pod's application sends it, through its forward proxy."""
        return raw.get(self.forward, url, fields, host or url.split("/")[2], method, body)

    def connect(self, service, seconds=10.0):
        """A connection to a TCP service, as `host:port`, through the pod's proxy; the answer to CONNECT is read."""
        connection = raw.Connection(self.forward, seconds)
        connection.request("CONNECT", service, host=service)
        answer = connection.response("CONNECT")
        assert answer.status == 200, answer
        return connection


class Pods:
    """Pods of one test run beside a control plane; all end with `stop`."""

    def __init__(self, mesh, folder, certificate=None):
        self.mesh, self.folder, self.certificate = mesh, str(folder), certificate
        # Several test runs on one machine must not meet.
        self.block = f"127.{random.randint(16, 250)}.{random.randint(1, 254)}"
        self.programs, self.pods, self.count = [], {}, 0

    def start(self, app, version, namespace, upstreams=None):
        """A pod with labels `app` and `version`, and the account that is named like the application. `upstreams` are
        ports on the loopback that lead to a service."""
        self.count += 1
        name, address = f"{app}-{version}", f"{self.block}.{self.count}"
        base = os.path.join(self.folder, f"{namespace}-{name}")
        command = [sys.executable, os.path.join(APPS, "echo.py"), name, namespace, address, base + ".up"]
        self._start(command + list(self.certificate or ()), base + ".log")
        raw.eventually(lambda: os.path.exists(base + ".up"), 30)
        token = self.mesh.api("POST", f"/apis/apus.dev/v1/namespaces/{namespace}/serviceaccounts/{app}/token", {})[1]
        with open(base + ".token", "w") as file:
            file.write(token["token"])
        admin = free_port()
        command = [
            PROXY, "--id", f"{name}-{namespace}", "--namespace", namespace, "--service", app, "--account", app,
            "--workload", name, "--version", version, "--trust-domain", "cluster.local", "--app-address", address,
            "--inbound", f"{address}:0", "--forward", "127.0.0.1:0", "--admin", f"127.0.0.1:{admin}",
            "--xds", f"127.0.0.1:{self.mesh.xds_port}",
            "--xds-root", os.path.join(self.mesh.data, "ca", "root-cert.pem"), "--token-file", base + ".token",
            "--workers", "1", "--drain-seconds", "1"]
        for port in PORTS:
            command += ["--app-port", str(port)]
        for service, port in (upstreams or {}).items():
            command += ["--upstream", f"{service}={port}"]
        self._start(["bash", "-c", 'exec "$0" "$@" --ready-fd 3 3>' + base + ".ready", *command], base + ".proxy.log")

        def ready():
            with open(base + ".ready") as file:
                return json.loads(file.read())
        pod = Pod(name, namespace, address, raw.eventually(ready, 30))
        self.pods[namespace, name] = pod
        return pod

    def _start(self, command, log):
        self.programs.append(Program(command, log, dict(os.environ)))

    def stop(self):
        problems = []
        for program in reversed(self.programs):
            if not program.is_running():
                problems.append(f"ended by itself: {program.command[:6]}: {program.output()[-2000:]}")
            program.stop()
        return problems
