"""The command line: what it prints, what it exits with, how it treats the program it runs."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
import yaml

from support import processes, raw
from support.mesh import backend, route, version_service


def test_exit_statuses(mesh, namespace):
    assert mesh.cli("get", "services", "-n", namespace).returncode == 0
    assert mesh.cli("no-such-verb", check=False).returncode == 2
    assert mesh.cli("get", "services", "--no-such-flag", check=False).returncode == 2
    assert mesh.cli("get", "service", "absent", "-n", namespace, check=False).returncode == 4
    assert mesh.cli("apply", "-f", "-", stdin="kind: Nonsense\n", check=False).returncode == 3
    unreachable = mesh.cli("get", "services", env={"APUS_API": "127.0.0.1:1"}, check=False)
    assert unreachable.returncode == 5 and "127.0.0.1:1" in unreachable.stderr
    assert not unreachable.stdout, "errors go to standard error"


def test_apply_get_delete_from_files_folders_and_standard_input(mesh, namespace, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(version_service(f"s{number}", "v1", namespace)))
    assert mesh.cli("apply", "-f", str(tmp_path)).stdout.count("created") == 3
    assert mesh.cli("apply", "-f", str(tmp_path / "0.yaml")).stdout.count("unchanged") == 1
    listed = json.loads(mesh.cli("get", "services", "-n", namespace, "-o", "json").stdout)
    assert {item["metadata"]["name"] for item in listed["items"]} == {"s0-v1", "s1-v1", "s2-v1"}
    one = yaml.safe_load(mesh.cli("get", "service", "s1-v1", "-n", namespace, "-o", "yaml").stdout)
    assert one["spec"]["selector"] == {"app": "s1", "version": "v1"}
    assert "s1-v1" in mesh.cli("get", "services", "-n", namespace, "-o", "wide").stdout
    # What `get -o yaml` prints can be applied again.
    assert "unchanged" in mesh.cli("apply", "-f", "-", stdin=yaml.safe_dump(one)).stdout
    mesh.cli("delete", "service", "s1-v1", "-n", namespace)
    assert mesh.cli("get", "service", "s1-v1", "-n", namespace, check=False).returncode == 4
    mesh.cli("delete", "-f", str(tmp_path / "0.yaml"))
    assert mesh.cli("delete", "service", "s1-v1", "-n", namespace, check=False).returncode == 4


def test_a_dry_run_changes_nothing(mesh, namespace):
    text = yaml.safe_dump(version_service("dry", "v1", namespace))
    assert "created" in mesh.cli("apply", "--dry-run", "-f", "-", stdin=text).stdout
    assert mesh.cli("get", "service", "dry-v1", "-n", namespace, check=False).returncode == 4


def test_a_stale_resource_version_conflicts(mesh, namespace):
    mesh.apply(version_service("held", "v1", namespace))
    path = f"/api/v1/namespaces/{namespace}/services/held-v1"
    _, first = mesh.api("GET", path)
    first["spec"]["ports"][0]["targetPort"] = 9001
    assert mesh.api("PUT", path, first)[0] == 200
    status, answer = mesh.api("PUT", path, first)
    assert status == 409 and answer["reason"] == "Conflict"


def test_machine_readable_output_of_every_verb(mesh, namespace):
    mesh.client(namespace=namespace)
    for verb in (["stat"], ["proxy-status"], ["check"], ["get", "services"]):
        result = mesh.cli(*verb, "-o", "json", check=False)
        assert result.returncode in (0, 1), result
        json.loads(result.stdout)
    yaml.safe_load(mesh.cli("proxy-status", "-o", "yaml").stdout)


def test_check_passes_on_a_healthy_mesh_and_names_what_is_wrong_on_another(own_mesh):
    mesh = own_mesh
    client = mesh.client()
    raw.eventually(lambda: mesh.proxies().get(client.uid, {}).get("status") == "SYNCED")
    assert json.loads(mesh.cli("check", "-o", "json").stdout)["passed"] is True
    mesh.apply(version_service("broken", "v1"), route("broken-v1", {"backendRefs": [backend("nowhere")]}))
    result = mesh.cli("check", check=False)
    assert result.returncode == 1 and "nowhere" in result.stdout + result.stderr


def test_what_has_ended_is_no_warning_and_what_was_killed_is_cleaned_up(own_mesh):
    mesh = own_mesh
    folders = os.path.join(mesh.data, "proxies")
    client = mesh.client()
    raw.eventually(lambda: mesh.proxies().get(client.uid, {}).get("status") == "SYNCED")
    assert os.listdir(folders) == [client.uid]
    mesh.stop_workload(client)
    raw.eventually(lambda: not mesh.proxies())
    assert os.listdir(folders) == []
    findings = json.loads(mesh.cli("check", "-o", "json").stdout)["findings"]
    assert [f for f in findings if f["outcome"] != "ok"] == []

    killed = mesh.client(service="killed")
    processes.kill(killed.program.pid)
    killed.program.process.wait()
    mesh.workloads.remove(killed)
    assert os.listdir(folders) == [killed.uid]
    assert mesh.cli("run", "--service", "job", "--", "true").returncode == 0
    assert os.listdir(folders) == []


def test_ctrl_c_ends_the_control_plane_without_a_word(own_mesh):
    mesh = own_mesh
    mesh.client()
    mesh.control_plane.send(signal.SIGINT)
    assert mesh.control_plane.process.wait(20) == 0
    words = [line for line in mesh.control_plane.output().splitlines() if line]
    assert len(words) == 1 and words[0].startswith("apus is ready"), words
    mesh.start()


def test_apply_waits_until_proxies_work_by_it_and_names_who_does_not(own_mesh):
    mesh = own_mesh
    first, second = (mesh.quick_server("shop", version) for version in ("v1", "v2"))
    client, stopped = mesh.client(), mesh.client("stopped")
    mesh.apply(version_service("shop", "v1"), version_service("shop", "v2"))
    mesh.meshed(first, second)

    def switch(version):
        return yaml.safe_dump(route("shop", {"backendRefs": [backend(f"shop-{version}")]}))
    for number in range(10):
        version = f"v{1 + number % 2}"
        told = mesh.cli("apply", "--wait", "-f", "-", stdin=switch(version)).stdout
        # The very next request goes the new way.
        assert client.get("http://shop/").body == f"shop-{version}\n".encode()
        assert told.endswith("in force at 4 proxies\n"), told
    processes.kill(stopped.sidecar_pid, signal.SIGSTOP)
    try:
        result = mesh.cli("apply", "--wait", "--wait-seconds", "2", "-o", "json", "-f", "-", stdin=switch("v1"), check=False)
        assert result.returncode == 8 and f"{stopped.uid} has not acknowledged it" in result.stderr, result
        standing = {proxy["id"]: proxy["standing"] for proxy in json.loads(result.stdout)["proxies"]}
        assert standing == {first.uid: "taken", second.uid: "taken", client.uid: "taken", stopped.uid: "waiting"}
        assert client.get("http://shop/").body == b"shop-v1\n", "it is in force where it was taken"
    finally:
        processes.kill(stopped.sidecar_pid, signal.SIGCONT)
    # What is applied already is waited for as well.
    assert "unchanged\nin force at 4 proxies" in mesh.cli("apply", "--wait", "-f", "-", stdin=switch("v1")).stdout
    assert mesh.cli("delete", "httproute", "shop", "--wait").stdout.endswith("in force at 4 proxies\n")


def test_a_burst_of_single_changes_is_in_force_soon(own_mesh):
    """Deleted one by one: what came while one change was compiled is taken together."""
    mesh = own_mesh
    mesh.client()
    count = 300
    routes = [{**route("shop", {"backendRefs": [backend("shop-v1")]}), "metadata": {"name": f"r{number}"}}
              for number in range(count)]
    text = yaml.safe_dump_all([version_service("shop", "v1"), version_service("shop", "v2"), *routes])
    mesh.cli("apply", "--wait", "-f", "-", stdin=text)
    before = json.loads(mesh.cli("proxy-status", "-o", "json").stdout)["revision"]
    assert "in force at 1 proxy" in mesh.cli("delete", "--wait", "-f", "-", stdin=text).stdout
    after = json.loads(mesh.cli("proxy-status", "-o", "json").stdout)["revision"]
    assert 0 < after - before < count, "fewer revisions than changes"


# What bash does when Tab is pressed after these words: it calls what the script registered, with the words in COMP_WORDS.
COMPLETE = """
source "$0"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
registered=$(complete -p "$1") && function=$(sed -E 's/.*-F ([^ ]+).*/\\1/' <<< "$registered")
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


# In bash and fish the shell itself is asked; in zsh, whose completion works at a terminal only, the keys are pressed.
FISH = 'source $argv[1]; complete -C "$argv[2]"'


def bash_offers(script, words):
    return subprocess.run(["bash", "--norc", "-c", COMPLETE, script, *words], capture_output=True, text=True, timeout=60,
                          check=False).stdout


def fish_offers(script, words):
    return subprocess.run(["fish", "--no-config", "-c", FISH, script, " ".join(words)], capture_output=True, text=True,
                          timeout=60, check=False).stdout


def zsh_offers(script, words):
    """What a terminal shows between the words, with Control-X for the list, and the next prompt."""
    folder = os.path.dirname(script)
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 200, 0, 0))
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=child, stdout=child, stderr=child, start_new_session=True,
                             env={**os.environ, "TERM": "dumb", "HOME": folder, "ZDOTDIR": folder})
    os.close(child)

    def until(mark):
        text, end = "", time.monotonic() + 60
        while mark not in text and time.monotonic() < end:
            if select.select([parent], [], [], 1)[0]:
                text += os.read(parent, 65536).decode()
        return text
    try:
        # Its last words are a sum, so that the echo of what is typed does not look like them.
        os.write(parent, f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=1000; "
                         "bindkey '^X' list-choices; PROMPT=$((40 + 2))'> '\n".encode())
        assert "42> " in until("42> ")
        line = " ".join(words)
        os.write(parent, f"{line}\x18".encode())
        # The list stands between the line and the line again, which has a prompt before it.
        return until(f"42> {line}")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        os.close(parent)


@pytest.mark.parametrize("words, offered, others", [
    (["apus", ""], {"apply", "stat", "proxy-status", "why"}, {"--window"}),
    (["apus", "pro"], {"proxy-status", "proxy-config"}, {"apply", "stat"}),
    (["apus", "stat", "--w"], {"--watch", "--window"}, {"--from", "apply"}),
    (["apus", "rollout", "p"], {"promote", "pause"}, {"abort", "proxy-status"}),
], ids=["verbs", "some verbs", "options", "verbs of a verb"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs_and_options(mesh, tmp_path, shell, words, offered, others):
    offers = {"bash": bash_offers, "zsh": zsh_offers, "fish": fish_offers}[shell]
    script = tmp_path / "_apus"
    script.write_text(mesh.cli("completion", shell).stdout)
    text = offers(str(script), words)
    # What is offered is at the beginning of a line; a description may follow.
    found = {line.split()[0] for line in text.replace("\r", "\n").split("\n") if line.strip()}
    assert offered <= found and not others & found, text


def test_help_names_every_verb_and_the_exit_statuses(mesh):
    text = mesh.cli("--help").stdout
    for verb in ("up", "run", "apply", "get", "delete", "stat", "proxy-status", "check"):
        assert re.search(rf"^\s+{verb}\b", text, re.MULTILINE), verb
    assert mesh.cli("--version").stdout.strip()


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_run_exits_as_its_program_does(mesh, namespace, status):
    result = mesh.cli("run", "--service", "job", "-n", namespace, "--", "sh", "-c", f"exit {status}", check=False)
    assert result.returncode == status, result.stderr


def test_run_exits_as_a_killed_program_does(mesh, namespace):
    result = mesh.cli("run", "--service", "job", "-n", namespace, "--", "sh", "-c", "kill -9 $$", check=False)
    assert result.returncode == 128 + 9
    assert mesh.cli("run", "--service", "job", "-n", namespace, "--", "./not-there", check=False).returncode == 127


def test_run_says_so_when_a_port_is_anothers(mesh, namespace):
    """Each of a proxy's loops listens on the same port; another proxy may not become one more of them."""
    port = processes.free_port()
    first = mesh.client(namespace=namespace, upstreams={"server": port})
    result = mesh.cli("run", "--service", "late", "-n", namespace, "--upstream", f"server={port}", "--", "true", check=False)
    assert result.returncode == 1 and f"127.0.0.1:{port}" in result.stderr, result.stderr
    assert "another program's: give it another one" in result.stderr, result.stderr
    mesh.stop_workload(first)


def test_run_passes_signals_on_and_keeps_standard_streams(mesh, namespace):
    client = mesh.client(namespace=namespace)
    for number in (signal.SIGHUP, signal.SIGUSR1):
        client.program.send(number)
    path = client.env_file + ".signals"
    raw.eventually(lambda: os.path.exists(path) and {"SIGHUP", "SIGUSR1"} <= set(open(path).read().split()))
    result = mesh.cli("run", "--service", "job", "-n", namespace, "--", "sh", "-c", "cat; echo err >&2; exit 3",
                      stdin="in\n", check=False)
    assert result.stdout == "in\n" and "err" in result.stderr and result.returncode == 3


def test_run_tells_the_program_its_way_into_the_mesh(mesh, namespace):
    result = mesh.cli("run", "--service", "job", "-n", namespace, "--version", "v7", "--", sys.executable, "-c",
                      "import json, os; print(json.dumps(dict(os.environ)))")
    env = json.loads(result.stdout)
    assert int(env["PORT"]) > 0 and env["HTTP_PROXY"] == env["http_proxy"] and "127.0.0.1" in env["NO_PROXY"]
    service = json.loads(mesh.cli("get", "service", "job", "-n", namespace, "-o", "json").stdout)
    assert service["spec"]["selector"] == {"app": "job"} and service["spec"]["ports"][0]["port"] == 80


def test_two_meshes_run_side_by_side(mesh, own_mesh):
    first = mesh.quick_server("same", namespace="side")
    second = own_mesh.quick_server("same", "other", namespace="side")
    clients = mesh.client(namespace="side"), own_mesh.client(namespace="side")
    assert mesh.wait_for(clients[0], "http://same/").body == b"same\n"
    assert own_mesh.wait_for(clients[1], "http://same/").body == b"same-other\n"
    assert first.uid != second.uid


def test_one_data_folder_has_one_control_plane(own_mesh):
    result = own_mesh.cli("up", "--data", own_mesh.data, "--api", "127.0.0.1:0", "--xds", "127.0.0.1:0", check=False,
                          seconds=20)
    assert result.returncode == 1 and own_mesh.data in result.stderr
