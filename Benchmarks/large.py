"""What a large configuration costs: 1,000 services with 10 endpoints each and 2,000 rules, from a real control plane.

Memory of the proxy with all of it, and what requests under way notice of a change: the longest turn of the proxy's loop
while one endpoint changes (the usual case), and while all services do.
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import measure

SERVICES, ENDPOINTS, CHANGES = 1000, 10, 10
APUS = os.environ.get("APUS_PROGRAM", os.path.join(measure.HERE, "..", ".build", "release", "apus"))


def service(name, port):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port, "appProtocol": "http"}]}}


def endpoints(name, addresses, port):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": [{"addresses": [address]} for address in addresses],
            "ports": [{"name": "http", "port": port}]}


def route(number):
    name = f"service-{number}"
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": name}],
                     "rules": [{"matches": [{"path": {"value": f"/{number}/next"}}],
                                "backendRefs": [{"name": f"service-{(number + 1) % SERVICES}", "port": 80}]},
                               {"backendRefs": [{"name": name, "port": 80}]}]}}


def addresses(number, shift=0):
    return [f"10.{number // 250}.{number % 250}.{index + 1 + shift}" for index in range(ENDPOINTS)]


class Mesh:
    """A control plane with all of it, and a proxy whose service `server` is the benchmarks' backend."""

    def __init__(self, folder, backend):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.data, self.backend = folder, os.path.join(folder, "data"), backend
        self.api, self.processes = measure.free_port(), []
        self.environment = {**os.environ, "APUS_DATA": self.data, "APUS_API": f"127.0.0.1:{self.api}"}

    def __enter__(self):
        self._spawn([APUS, "up", "--data", self.data, "--api", f"127.0.0.1:{self.api}", "--xds",
                     f"127.0.0.1:{measure.free_port()}"], "control-plane", measure.LOAD_CPU)
        measure.wait_port(self.api, self.processes[0])
        objects = [service("server", self.backend), endpoints("server", ["127.0.0.1"], self.backend)]
        for number in range(SERVICES):
            objects += [service(f"service-{number}", 8080), route(number),
                        endpoints(f"service-{number}", addresses(number), 8080)]
        for start in range(0, len(objects), 300):
            self.apply(objects[start:start + 300])
        ready = os.path.join(self.folder, "environment")
        self._spawn([APUS, "run", "--service", "client", "--workers", "1", "--proxy-log", os.path.join(self.folder, "proxy"),
                     "--", "sh", "-c", f"env > {ready}.new; mv {ready}.new {ready}; exec sleep 3600"], "client",
                    measure.PROXY_CPU)
        end = time.monotonic() + 60
        while not os.path.exists(ready):
            if time.monotonic() > end:
                raise RuntimeError("the proxy did not become ready")
            time.sleep(0.1)
        with open(ready) as file:
            found = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        self.port, self.admin = (int(found[name].rsplit(":", 1)[1]) for name in ("HTTP_PROXY", "APUS_ADMIN"))
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def _spawn(self, command, name, cpu):
        with open(os.path.join(self.folder, f"{name}.log"), "ab") as log:
            self.processes.append(subprocess.Popen(
                ["taskset", "-c", str(cpu), *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment))

    def apply(self, objects):
        text = "\n---\n".join(json.dumps(item) for item in objects)
        subprocess.run([APUS, "apply", "-f", "-"], input=text, text=True, check=True, env=self.environment,
                       stdout=subprocess.DEVNULL)

    def proxy(self):
        """The id of the sidecar's process."""
        for pid in measure.family(self.processes[-1].pid):
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == "apus-proxy":
                    return pid
        raise RuntimeError("there is no proxy")

    def metric(self, name):
        """The largest sample of a metric."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60).read().decode()
        return max(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? ([0-9.e+-]+)$", text, re.M))

    def change(self, objects):
        """Applies the objects under load; the longest turn of the loop in the meantime, ms."""
        before = self.metric("apus_snapshots_taken_total")
        self.metric("apus_loop_turn_seconds")
        self.apply(objects)
        end = time.monotonic() + 30
        while self.metric("apus_snapshots_taken_total") == before and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        return self.metric("apus_loop_turn_seconds") * 1e3


def once(load, backend, folder):
    """Memory, and the longest turns of the loop: of none, one and all services changing."""
    with Mesh(folder, backend.port) as mesh:
        memory = measure.memory_mb([mesh.proxy()])
        command = ["taskset", "-c", str(measure.LOAD_CPU), load, "--port", str(mesh.port), "--path", "http://server/",
                   "--host", "server", "--rate", "2000", "--connections", "16", "--seconds", "300"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            time.sleep(1)
            mesh.metric("apus_loop_turn_seconds")
            time.sleep(1)
            calm = mesh.metric("apus_loop_turn_seconds") * 1e3
            one = max(mesh.change([endpoints("service-7", addresses(7, number % 2), 8080)])
                      for number in range(1, CHANGES + 1))
            every = max(mesh.change([endpoints(f"service-{number}", addresses(number, shift), 8080)
                                     for number in range(SERVICES)]) for shift in (20, 40))
            running.send_signal(signal.SIGTERM)
            result = json.loads(running.stdout.readline())
        if result["failed"] or set(result["statuses"]) != {"200"}:
            raise RuntimeError(f"large configuration: the load failed: {result}")
        return {**memory, "calm_ms": calm, "one_ms": one, "all_ms": every}
