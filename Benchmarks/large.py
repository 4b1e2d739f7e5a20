"""What a large configuration costs: 1,000 services with 10 endpoints each and 2,000 rules, from a real control plane.

Memory of the proxy with all of it, from a file and from the control plane, and after changes; and what requests under
way notice of a change: the longest delay of a request at a fixed rate, by turns while one endpoint or all endpoints
change, and while the same is applied without a change, which costs the machine as much and the proxy nothing.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import threading
import time
import urllib.request

import measure
import proxies

SERVICES, ENDPOINTS, TURNS = 1000, 10, 5
RATE, CONNECTIONS, SECONDS = 2000, 16, 4
# Memory is given back a second after a change.
SETTLED = 3
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
        """Applies the objects and waits until the proxy works by them."""
        before = self.metric("apus_snapshots_taken_total")
        self.apply(objects)
        end = time.monotonic() + 30
        while self.metric("apus_snapshots_taken_total") == before:
            if time.monotonic() > end:
                raise RuntimeError("a change did not reach the proxy within 30 s")
            time.sleep(0.05)

    def memory(self):
        time.sleep(SETTLED)
        return measure.memory_mb([self.proxy()])["rss"]

    def delays(self, load, objects):
        """Longest delay of a request, and longest turn of the proxy's loop, ms, while objects are applied, one set a second."""
        result = {}

        def run():
            result.update(measure.run_load(
                load, self.port, path="http://server/", host="server", rate=RATE, connections=CONNECTIONS, warmup=1,
                seconds=SECONDS))
        self.metric("apus_loop_turn_seconds")
        running = threading.Thread(target=run)
        running.start()
        time.sleep(1.2)
        for some in objects:
            self.apply(some)
            time.sleep(0.5)
        running.join()
        if result["failed"] or set(result["statuses"]) != {"200"}:
            raise RuntimeError(f"large configuration: the load failed: {result}")
        return result["max_us"] / 1e3, self.metric("apus_loop_turn_seconds") * 1e3


def from_a_file(mesh, folder):
    """Memory of a proxy with the same configuration from a file."""
    with urllib.request.urlopen(f"http://127.0.0.1:{mesh.admin}/config_dump", timeout=60) as answer:
        snapshot = json.load(answer)
    snapshot["listeners"] = [{"name": "forward", "kind": "forward", "address": f"127.0.0.1:{measure.free_port()}"}]
    config = os.path.join(folder, "static.json")
    with open(config, "w") as file:
        json.dump(snapshot, file)
    port = int(snapshot["listeners"][0]["address"].rsplit(":", 1)[1])
    process = measure.spawn([proxies.Apus.program, "--config", config, "--workers", "1"], measure.PROXY_CPU,
                            os.path.join(folder, "static.log"))
    try:
        measure.wait_port(port, process)
        time.sleep(SETTLED)
        return measure.memory_mb([process.pid])["rss"]
    finally:
        measure.stop(process)


def once(load, backend, folder):
    """Memory, and what requests wait for, while nothing, one endpoint or all endpoints change."""
    with Mesh(folder, backend.port) as mesh:
        found = {"rss": mesh.memory(), "static_rss": from_a_file(mesh, folder)}
        mesh.change([endpoints("service-7", addresses(7, 1), 8080)])
        found["endpoint_rss"] = mesh.memory()
        changed = route(5)
        changed["spec"]["rules"][0]["matches"][0]["path"]["value"] = "/changed"
        mesh.change([changed])
        found["route_rss"] = mesh.memory()
        one = [[endpoints("service-7", addresses(7, shift), 8080)] for shift in (0, 1, 2, 3)]
        every = [[endpoints(f"service-{number}", addresses(number, shift), 8080) for number in range(SERVICES)]
                 for shift in (20, 40)]
        samples = {}
        for _ in range(TURNS):
            for name, sets in (("one_same", one[3:] * 4), ("one", one), ("all_same", every[1:] * 2), ("all", every)):
                mesh.apply(sets[-1])
                time.sleep(SETTLED)
                samples.setdefault(name, []).append(mesh.delays(load, sets))
        for name, pairs in samples.items():
            found[f"{name}_ms"] = statistics.median(delay for delay, _ in pairs)
            found[f"{name}_turn_ms"] = statistics.median(turn for _, turn in pairs)
        return found
