"""The verbs that show something: documented members, examples, statuses, live views in a small terminal, and what a report
to strangers has in it."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from support import raw
from support.mesh import APUS, backend, policy, route
from support.processes import TOP

SPACE = "verbs"
SECRET = "h1dden-b3hind-all-else"


@pytest.fixture(name="shop", scope="module")
def fixture_shop(shared_mesh):
    mesh = shared_mesh
    server = mesh.quick_server(version="v1", namespace=SPACE)
    client = mesh.client(namespace=SPACE)
    mesh.wait_for(client, "http://server/")
    for number in range(20):
        client.get(f"http://server/status/{503 if number % 5 == 0 else 200}?token={SECRET}",
                   fields=[("authorization", f"Bearer {SECRET}"), ("cookie", f"session={SECRET}"),
                           ("x-request-id", f"verbs-{number}")])
    mesh.pause(2.5)
    yield mesh, client, server
    for workload in (client, server):
        mesh.stop_workload(workload)


# Verbs, how each is asked for JSON, and the line of docs/command-line.md that lists its members.
SHOWN = {
    "stat": (["stat", "-n", SPACE], "- `stat`:"),
    "edges": (["edges", "-n", SPACE], None), "routes": (["routes", "-n", SPACE], None),
    "tap": (["tap", "--to", f"{SPACE}/server", "--count", "1"], None),
    "top": (["top", "--to", f"{SPACE}/server", "--seconds", "2"], "`top`:"),
    "why": (["why", "verbs-1"], "- `why`:"), "describe": (["describe", "server", "-n", SPACE], "- `describe`:"),
    "eval": (["eval", "-n", SPACE, "-f", "-"], "- `eval`:"), "dashboard": (["dashboard"], "- `dashboard`:"),
    "proxy-status": (["proxy-status"], "- `proxy-status`:"), "check": (["check"], "- `check`:"),
    "analyze": (["analyze"], "- `analyze`:"), "version": (["version"], "- `version`:")}


def schema(mark):
    """The members that the documentation promises at the top, and those of the first list of objects in it."""
    with open(os.path.join(TOP, "docs", "command-line.md")) as page:
        text = page.read()
    found = re.search(r"`(\{.*?\})`[;.,]", text[text.index(mark):].replace("\n  ", ""), re.S)[1]
    top = re.sub(r"[\[{][^\[\]{}]*[\]}]", "", found[1:-1])
    while "{" in top or "[" in top:
        top = re.sub(r"[\[{][^\[\]{}]*[\]}]", "", top)
    inner = re.search(r'"items":\[\{(.*?)[},\]]…?\}?\]', found)
    return set(re.findall(r'"(\w+)"', top)), set(re.findall(r'"(\w+)"', inner[1])) if inner else set()


@pytest.mark.parametrize("verb", SHOWN)
def test_every_verb_has_an_example_and_the_members_that_are_documented(shop, verb):
    mesh, client, _ = shop
    text = mesh.cli("help", verb, env={"COLUMNS": "80"}).stdout
    assert "EXAMPLE" in text and f"apus {verb}" in text.split("EXAMPLE")[1]
    arguments, mark = SHOWN[verb]
    change = json.dumps(route("server", {"backendRefs": [backend("server")]}, namespace=SPACE))
    with client.load("http://server/", rate=20):
        result = mesh.cli(*arguments, "-o", "json", stdin=change if verb == "eval" else None, check=False)
    # Findings have a status of their own; other tests' objects may have some.
    assert result.returncode in ((0, 1) if verb in ("check", "analyze") else (0,)), result
    shown = json.loads(result.stdout.splitlines()[0] if verb == "tap" else result.stdout)
    if mark:
        top, members = schema(mark)
        # Findings about files have a file.
        members -= {"file"} if verb == "analyze" else set()
        assert top <= set(shown), (top, set(shown))
        for item in shown.get("items", [])[:3]:
            assert members <= set(item), (members, set(item))
    assert mesh.cli(*arguments, "--no-such-option", check=False).returncode == 2


def test_who_is_not_there_has_a_status_of_its_own(shop):
    mesh, _, _ = shop
    for arguments in (["why", "nobody"], ["describe", "nobody"], ["proxy-config", "routes", "nobody"],
                      ["check", "--proxy", "nobody"], ["stat", "service/nobody"]):
        assert mesh.cli(*arguments, check=False).returncode == 4, arguments
    for verb in ("stat", "edges", "routes", "check", "dashboard", "proxy-status"):
        assert mesh.cli(verb, check=False, env={"APUS_API": "127.0.0.1:1"}).returncode == 5, verb


def test_check_looks_at_one_proxy_from_both_sides(shop):
    mesh, client, _ = shop
    found = json.loads(mesh.cli("check", "--proxy", client.uid, "-o", "json").stdout)
    assert found["passed"] and {f["outcome"] for f in found["findings"]} == {"ok"}, found
    assert any("spiffe://cluster.local/ns/verbs/sa/client" in f["message"] for f in found["findings"])
    # An endpoint that takes no requests is a finding, with a hint.
    mesh.apply(policy("server", SPACE, retry={"attempts": 0},
                      outlierDetection={"consecutive5xx": 1, "maxEjectionPercent": 100}))

    def ejected():
        client.get("http://server/status/500")
        result = mesh.cli("check", "--proxy", client.uid, "-o", "json", check=False)
        bad = [f for f in json.loads(result.stdout)["findings"] if f["outcome"] == "failed"]
        return bad and result.returncode == 1 and bad
    bad = raw.eventually(ejected, 20, 0.5)
    assert "1 of 1 endpoints take no requests" in bad[0]["message"] and "why" in bad[0]["hint"]
    mesh.cli("delete", "trafficpolicy", "server", "-n", SPACE)


def test_a_report_has_no_secrets_in_it(shop, tmp_path):
    mesh, client, _ = shop
    setting = route("server", {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "Authorization", "value": f"Basic {SECRET}"}, {"name": "x-plain", "value": "seen"}]}}],
        "backendRefs": [backend("server")]}, namespace=SPACE)
    setting["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": f"with {SECRET}"}
    mesh.apply(setting)
    token = mesh.api("POST", f"/apis/apus.dev/v1/namespaces/{SPACE}/serviceaccounts/x/token")[1]["token"]
    session = mesh.cli("dashboard").stdout.strip().rsplit("=", 1)[1]
    file = tmp_path / "report.json"
    mesh.cli("bug-report", "--file", str(file), "--redact", "spiffe://cluster.local")
    text = file.read_text()
    secrets = [SECRET, token, session, "PRIVATE KEY", "spiffe://cluster.local"]
    with open(os.path.join(mesh.data, "api-token")) as kept:
        secrets.append(kept.read().strip())
    for name in os.listdir(os.path.join(mesh.data, "ca")):
        if "key" in name:
            with open(os.path.join(mesh.data, "ca", name)) as key:
                secrets.append(key.read().strip().splitlines()[min(1, name.endswith(".pem"))])
    assert [secret for secret in secrets if secret in text] == []
    report = json.loads(text)
    assert "x-plain" in text and report["pages"][client.uid]["secrets"]["certificates"]
    assert any(item["requestID"] == "verbs-0" for item in report["failures"]["items"])
    assert file.stat().st_mode & 0o077 == 0
    mesh.cli("delete", "httproute", "server", "-n", SPACE)


class Terminal:
    """A program in a terminal of 80 by 24, without colour."""

    def __init__(self, mesh, *arguments):
        self.parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**mesh.environment, "NO_COLOR": "1", "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        # Whoever started the tests in the background had interrupts ignored, which is handed down.
        self.process = subprocess.Popen([APUS, *arguments], stdin=child, stdout=child, stderr=child, env=environment,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        os.close(child)

    def read(self, frames, seconds=30):
        """What was shown until there were so many frames."""
        text, end = b"", time.monotonic() + seconds
        while text.count(b"\x1b[H") <= frames and (left := end - time.monotonic()) > 0:
            if select.select([self.parent], [], [], left)[0]:
                try:
                    text += os.read(self.parent, 65536)
                except OSError:
                    break
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        os.close(self.parent)
        return text.decode()


@pytest.mark.parametrize("arguments", [["stat", "-A", "--watch"], ["stat", "--to", f"{SPACE}/server", "--watch"],
                                       ["top"], ["stat", "-A", "-o", "wide", "--watch"]], ids=" ".join)
def test_live_views_stay_within_a_small_terminal_and_do_not_flicker(shop, arguments):
    mesh, client, _ = shop
    with client.load("http://server/a-rather-long-path/that/goes/on/and/on/beyond/what/a/line/of/eighty/columns/can/hold",
                     rate=20):
        shown = Terminal(mesh, *arguments).read(4)
    # The last one may have been cut off.
    frames = shown.split("\x1b[H")[1:-1]
    assert len(frames) >= 3, shown
    # The screen is cleared once; from then on each line takes the place of the one before.
    assert shown.count("\x1b[2J") <= 1 and not any("\x1b[2J" in frame for frame in frames[1:])
    assert not re.search(r"\x1b\[[0-9;]*m", shown), "colour where none was wanted"
    for frame in frames[1:]:
        lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", frame).rstrip("\r\n").split("\r\n")
        assert len(lines) <= 24 and all(len(line) <= 80 for line in lines), frame
        assert frame.count("\x1b[K") >= len(lines) - 1 or frame.count("\x1b[J") == 1
