"""A service of two versions under steady traffic, and a rollout between them."""

import json
import time

from . import raw


def rollout(namespace, version, **spec):
    return {"apiVersion": "apus.dev/v1", "kind": "Rollout", "metadata": {"name": "shop", "namespace": namespace},
            "spec": {"service": "shop", "version": version, **spec}}


def canary(*weights, pause="4s", **spec):
    return {"canary": {"steps": [{"weight": weight, "pause": pause} for weight in weights]},
            "analysis": {"interval": "1s", "minSamples": 30, "successRate": {"maxDrop": 2},
                         "latency": {"maxRatio": 1.5, "quantile": 90}, **spec}}


class Shop:
    """A service of two versions, its client, and the rollout between the versions."""

    kind = "httproutes"

    def __init__(self, mesh, namespace, second):
        self.mesh, self.namespace = mesh, namespace
        self.first = mesh.service("shop", "v1", namespace, {})
        self.second = mesh.service("shop", "v2", namespace, second)
        self.client = mesh.client(namespace=namespace)
        mesh.meshed(self.first, self.second)

    def status(self):
        return json.loads(self.mesh.cli("rollout", "status", "shop", "-n", self.namespace, "-o", "json",
                                        check=False).stdout)

    def weights(self):
        found = self.mesh.api("GET", "/apis/gateway.networking.k8s.io/v1/namespaces/"
                              f"{self.namespace}/{self.kind}/shop")[1]
        return {backend["name"]: backend["weight"] for rule in found["spec"]["rules"]
                for backend in rule["backendRefs"]}

    def adopt(self, **spec):
        """The first version serves, by the rollout's own route."""
        self.mesh.apply(rollout(self.namespace, "v1", **spec))
        raw.eventually(lambda: self.status()["phase"] == "Idle" and self.weights() == {"shop-v1": 100}, 20)
        self.mesh.settle()

    def until(self, *phases, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.status()
            if status["phase"] in phases:
                return status
            time.sleep(0.5)
        raise AssertionError(f"not {phases} after {seconds} s: {json.dumps(status, indent=1)}")
