"""kubectl works on the mesh's resources, without a cluster."""

import os
import subprocess
import sys

import pytest
import yaml

from support.mesh import backend, route, version_service

KUBECTL = os.path.join(os.path.dirname(sys.executable), "kubectl")


@pytest.fixture
def kubectl(mesh, tmp_path):
    """Runs kubectl against the mesh, and wants it to succeed unless told otherwise."""
    with open(os.path.join(mesh.data, "api-token")) as file:
        token = file.read().strip()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "apus",
        "clusters": [{"name": "apus", "cluster": {"server": f"http://apus:{token}@127.0.0.1:{mesh.api_port}"}}],
        "contexts": [{"name": "apus", "context": {"cluster": "apus", "namespace": "default", "user": ""}}]}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))

    known = {**os.environ, "KUBECONFIG": str(path), "HOME": str(tmp_path)}

    def run(*arguments, stdin=None, status=0, **environment):
        done = subprocess.run(
            [KUBECTL, *arguments], input=stdin, capture_output=True, text=True, timeout=30, env={**known, **environment})
        assert done.returncode == status, f"kubectl {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr
    run.start = lambda *arguments: subprocess.Popen([KUBECTL, *arguments], stdout=subprocess.PIPE, text=True, env=known)
    return run


@pytest.fixture
def canary(mesh, kubectl):
    """A service and a route, made by kubectl; they go by it too."""
    objects = [version_service("kube", "v1"), route("kube-v1", {"backendRefs": [backend("kube-v1")]})]
    text = "\n---\n".join(yaml.safe_dump(one) for one in objects)
    assert kubectl("apply", "-f", "-", stdin=text).count("created") == 2
    yield text
    kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def spec(mesh, kind="HTTPRoute"):
    path = ("/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/kube-v1" if kind == "HTTPRoute"
            else "/api/v1/namespaces/default/services/kube-v1")
    return mesh.api("GET", path)[1]


def test_applying_again_changes_only_what_is_different(mesh, kubectl, canary):
    assert "kube-v1" in kubectl("get", "services,httproutes", "-o", "name")
    version = spec(mesh)["metadata"]["resourceVersion"]
    kubectl("apply", "-f", "-", stdin=canary)
    assert spec(mesh)["spec"]["rules"][0]["backendRefs"][0]["weight"] == 1
    changed = canary.replace("name: kube-v1\n      port: 80", "name: kube-v1\n      port: 80\n      weight: 9")
    assert changed != canary
    assert "weight" in kubectl("diff", "-f", "-", stdin=changed, status=1)
    assert "configured" in kubectl("apply", "-f", "-", stdin=changed)
    assert spec(mesh)["spec"]["rules"][0]["backendRefs"][0]["weight"] == 9
    assert spec(mesh)["metadata"]["resourceVersion"] != version


def test_patches_of_the_three_forms_and_labels(mesh, kubectl, canary):
    kubectl("patch", "service", "kube-v1", "--type=merge", "-p", '{"metadata": {"labels": {"team": "a"}}}')
    kubectl("patch", "service", "kube-v1", "-p", '{"spec": {"ports": [{"port": 81, "name": "more"}]}}')
    kubectl("patch", "httproute", "kube-v1", "--type=json", "-p",
            '[{"op": "test", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1},'
            ' {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 5}]')
    kubectl("label", "service", "kube-v1", "stage=test")
    service = spec(mesh, "Service")
    assert service["metadata"]["labels"] == {"team": "a", "stage": "test"}
    assert {port["port"] for port in service["spec"]["ports"]} == {80, 81}
    assert spec(mesh)["spec"]["rules"][0]["backendRefs"][0]["weight"] == 5
    refused = kubectl("patch", "httproute", "kube-v1", "--type=json", status=1, *[
        "-p", '[{"op": "test", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}]'])
    assert "not what the test wants" in refused
    refused = kubectl("patch", "httproute", "kube-v1", "--type=json", "-p", '[{"op": "remove", "path": "/no"}]', status=1)
    assert "operation 0: there is no no in the path" in refused


def test_an_edit_and_its_refusal(mesh, kubectl, canary, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/weight: 1$/weight: 7/' \"$1\"\n")
    editor.chmod(0o755)
    assert "edited" in kubectl("edit", "httproute", "kube-v1", EDITOR=str(editor))
    assert spec(mesh)["spec"]["rules"][0]["backendRefs"][0]["weight"] == 7
    refused = kubectl("patch", "httproute", "kube-v1", "--type=merge", "-p", '{"spec": {"rules": "none"}}', status=1)
    assert "spec.rules" in refused
    assert spec(mesh)["spec"]["rules"][0]["backendRefs"][0]["weight"] == 7


def test_a_watch_sees_a_change(mesh, kubectl, canary):
    seen = []
    with kubectl.start("get", "services", "-w", "-o", "jsonpath={.metadata.name}={.metadata.labels.seen}{'\\n'}") as watch:
        for line in watch.stdout:
            seen.append(line.strip())
            if seen[-1] == "kube-v1=":
                kubectl("label", "service", "kube-v1", "seen=yes")
            if seen[-1] == "kube-v1=yes":
                break
        watch.terminate()
    assert seen[-1] == "kube-v1=yes", seen
