"""A mesh for a test: `apus up` with a data folder and ports of its own, and workloads under `apus run`."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import yaml

from . import processes, raw
from .load import Load
from .processes import APPS, TOP, Program, free_port

# Another build can be tested by naming its program.
APUS = os.environ.get("APUS_PROGRAM", os.path.join(TOP, ".build", "release", "apus"))


# A change is waited for until the proxies work by it, however slow the machine.
WAIT = ("--wait", "--wait-seconds", "120")


class Workload:
    """An application with its sidecar."""

    def __init__(self, mesh, program, env_file, record):
        self.mesh, self.program, self.env_file, self.record_file = mesh, program, env_file, record
        self.env = {}

    def wait(self, seconds=30.0):
        """Waits until the application runs, which is when its sidecar is ready."""
        def started():
            if not self.program.is_running():
                raise RuntimeError(f"apus run ended with {self.program.process.returncode}:\n{self.program.output()}")
            return os.path.exists(self.env_file)
        raw.eventually(started, seconds)
        with open(self.env_file) as file:
            self.env = json.load(file)
        return self

    @property
    def uid(self):
        return self.env["APUS_WORKLOAD"]

    @property
    def app_pid(self):
        return int(self.env["PID"])

    @property
    def app_port(self):
        return int(self.env["PORT"])

    @property
    def forward_port(self):
        return int(self.env["HTTP_PROXY"].rsplit(":", 1)[1])

    @property
    def admin_port(self):
        return int(self.env["APUS_ADMIN"].rsplit(":", 1)[1])

    @property
    def sidecar_pid(self):
        found = [pid for pid in processes.children(self.program.pid) if processes.name_of(pid) == "apus-proxy"]
        assert len(found) == 1, f"one sidecar expected, found {found}"
        return found[0]

    def sidecar_log(self):
        with open(self.program.log + ".proxy", errors="replace") as file:
            return file.read()

    def get(self, url, **options):
        """A request through this workload's forward proxy, as its application would send it."""
        host = url.split("/")[2]
        return raw.get(self.forward_port, url, host=host, **options)

    def admin(self, path, method="GET"):
        return raw.get(self.admin_port, path, host="localhost", method=method)

    def counts(self):
        """How often each path reached the application, asked past the mesh."""
        return json.loads(raw.get(self.app_port, "/counts").body)

    def recorded(self):
        """Every byte the application received through all connections."""
        with open(self.record_file, "rb") as file:
            return file.read()

    def load(self, url="http://server/", **options):
        """Load through the forward proxy, in a process of its own, until stopped."""
        return Load(self.mesh.load_program, self.forward_port, path=url, host=url.split("/")[2], **options)


class Mesh:
    """A control plane and the workloads that were started with it."""

    def __init__(self, folder, load_program, certificate_seconds=None, options=()):
        self.folder, self.load_program = str(folder), load_program
        self.data = os.path.join(self.folder, "data")
        self.certificate_seconds, self.options = certificate_seconds, list(options)
        self.api_port, self.xds_port = free_port(), free_port()
        self.workloads, self.control_plane, self.serial = [], None, 0
        self.environment = {**os.environ, "APUS_DATA": self.data, "APUS_API": f"127.0.0.1:{self.api_port}"}
        for name in ("HTTP_PROXY", "http_proxy", "PORT"):
            self.environment.pop(name, None)

    def start(self):
        command = [APUS, "up", "--data", self.data, "--api", f"127.0.0.1:{self.api_port}",
                   "--xds", f"127.0.0.1:{self.xds_port}"]
        if self.certificate_seconds:
            command += ["--certificate-lifetime", str(self.certificate_seconds)]
        command += self.options
        self.control_plane = Program(command, os.path.join(self.folder, "control-plane.log"), self.environment)

        def ready():
            if not self.control_plane.is_running():
                raise RuntimeError(f"apus up ended:\n{self.control_plane.output()}")
            return raw.get(self.api_port, "/readyz", host="localhost").status == 200
        raw.eventually(ready, 30)
        return self

    def stop(self):
        """Ends everything; returns what did not end as it should."""
        problems = []
        for program in [workload.program for workload in reversed(self.workloads)] + [self.control_plane]:
            if program is None:
                continue
            try:
                program.stop()
            except AssertionError as error:
                problems.append(str(error))
        self.workloads = []
        return problems

    def logs(self):
        """The logs of everything, for a failed test."""
        for name in sorted(os.listdir(self.folder)):
            if ".log" in name:
                with open(os.path.join(self.folder, name), errors="replace") as file:
                    yield name, file.read()[-6000:]

    # The command line.

    def cli(self, *arguments, stdin=None, check=True, seconds=150, env=None):
        result = subprocess.run([APUS, *arguments], input=stdin, capture_output=True, text=True, timeout=seconds,
                                env={**self.environment, **(env or {})}, check=False)
        if check:
            assert result.returncode == 0, f"apus {arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def apply(self, *objects, namespace="default", wait=True):
        """Applies objects given as dictionaries, or YAML text; returns when every connected proxy works by them, so that
        the next request goes the new way. With `wait=False` it returns when they are stored."""
        text = "\n---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)
        return self.cli("apply", "-n", namespace, "-f", "-", *(WAIT if wait else ()), stdin=text)

    def delete(self, kind, name, namespace="default", wait=True):
        """Deletes an object; returns when every connected proxy works without it."""
        return self.cli("delete", kind, name, "-n", namespace, *(WAIT if wait else ()))

    def settle(self, seconds=60):
        """Waits until every connected proxy works by all that the control plane knows now, endpoints included. What a
        program just started has not registered yet is not known: wait for that first (`meshed`)."""
        def look():
            answer = self.api("GET", "/apis/apus.dev/v1/proxies")[1]
            return answer["revision"], {item["id"]: item["takenRevision"] for item in answer["items"]
                                        if item["status"] != "DISCONNECTED"}
        wanted, concerned = look()

        def taken():
            now, proxies = look()
            return all(proxies[name] >= min(wanted, now) for name in concerned if name in proxies)
        raw.eventually(taken, seconds)

    def meshed(self, *workloads, health="healthy", seconds=60):
        """Waits until workloads are known with this health (`healthy`: their application listens), and every connected
        proxy knows it: from then on each of them is given its share."""
        def known():
            items = self.api("GET", "/apis/apus.dev/v1/workloads")[1]["items"]
            found = {item["metadata"]["uid"]: item["status"]["health"] for item in items}
            return all(found.get(workload.uid) == health for workload in workloads)
        raw.eventually(known, seconds)
        self.settle(seconds)

    def api(self, method, path, body=None, content="application/json"):
        """The HTTP API: status and parsed answer."""
        with open(os.path.join(self.data, "api-token")) as file:
            token = file.read().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}", method=method,
            data=None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": content})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def proxies(self):
        return {item["id"]: item for item in self.api("GET", "/apis/apus.dev/v1/proxies")[1]["items"]}

    # Workloads.

    def run(self, service, *command, version=None, namespace="default", upstreams=None, port=None, protocol="http",
            drain=10, access_log="off", workers=None, wait=True):
        """Starts a program under `apus run`. `{env}` and `{record}` in the command are files for it to write."""
        self.serial += 1
        name = f"{self.serial:02}-{service}-{version or 'any'}"
        env_file, record = os.path.join(self.folder, f"{name}.env"), os.path.join(self.folder, f"{name}.record")
        log = os.path.join(self.folder, f"{name}.log")
        options = ["--service", service, "--namespace", namespace, "--proxy-log", log + ".proxy",
                   "--access-log", access_log, "--drain-seconds", str(drain), "--protocol", protocol]
        if version:
            options += ["--version", version]
        if port:
            options += ["--port", str(port)]
        if workers:
            options += ["--workers", str(workers)]
        for upstream, number in (upstreams or {}).items():
            options += ["--upstream", f"{upstream}={number}"]
        words = [word.replace("{env}", env_file).replace("{record}", record) for word in command]
        program = Program([APUS, "run", *options, "--", *words], log, self.environment)
        workload = Workload(self, program, env_file, record)
        self.workloads.append(workload)
        return workload.wait() if wait else workload

    def server(self, service="server", version=None, **options):
        name = f"{service}-{version}" if version else service
        return self.run(service, sys.executable, os.path.join(APPS, "server.py"), name, "--env", "{env}", "--record",
                        "{record}", version=version, **options)

    def quick_server(self, service="server", version=None, **options):
        """A server that records nothing, for load."""
        name = f"{service}-{version}" if version else service
        return self.run(service, sys.executable, os.path.join(APPS, "server.py"), name, "--env", "{env}",
                        version=version, **options)

    def service(self, service, version, namespace, faults):
        """One version of a service that does what `faults` says wrong; see apps/version.py."""
        options = [word for name, value in faults.items() for word in (f"--{name}", str(value))]
        return self.run(service, sys.executable, os.path.join(APPS, "version.py"), f"{service}-{version}",
                        "--env", "{env}", *options, version=version, namespace=namespace)

    def client(self, service="client", **options):
        return self.run(service, sys.executable, os.path.join(APPS, "hold.py"), "{env}", **options)

    def wait_for(self, client, url, status=200, seconds=15):
        """Waits until a request of `client` is answered with the status: configuration has arrived everywhere."""
        def answered():
            response = client.get(url)
            assert response.status == status, response
            return response
        return raw.eventually(answered, seconds)

    def stop_workload(self, workload):
        status = workload.program.stop()
        self.workloads.remove(workload)
        return status

    def kill_control_plane(self):
        self.control_plane.kill()

    def pause(self, seconds):
        """Lets traffic run for a while."""
        time.sleep(seconds)


def route(service, *rules, name=None, namespace="default"):
    """An HTTPRoute for a service."""
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name or service, "namespace": namespace},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": service}], "rules": list(rules)}}


def backend(name, weight=None, port=80):
    found = {"name": name, "port": port}
    if weight is not None:
        found["weight"] = weight
    return found


def version_service(service, version, namespace="default", app_protocol="http"):
    """A Service that selects one version of another one's workloads."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{service}-{version}", "namespace": namespace},
            "spec": {"selector": {"app": service, "version": version},
                     "ports": [{"name": app_protocol, "port": 80, "targetPort": app_protocol,
                                "appProtocol": app_protocol}]}}


def policy(service, namespace="default", **spec):
    return {"apiVersion": "apus.dev/v1", "kind": "TrafficPolicy",
            "metadata": {"name": service, "namespace": namespace},
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": service}], **spec}}
