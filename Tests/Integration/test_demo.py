"""`apus up --demo`, which is what `make up` starts: the shop comes up, the canary that it tells to type moves the traffic,
and Ctrl-C leaves nothing behind."""

import glob
import json
import os
import signal
import subprocess

from support import raw
from support.mesh import APUS
from support.processes import Program, free_port


def left_of(home):
    """Processes whose home this is."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                if f"HOME={home}".encode() in file.read().split(b"\0") and int(path.split("/")[2]) != os.getpid():
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


def tables(output):
    """The tables that were shown, oldest first: meshed instances and requests per second by name."""
    found = []
    for line in output.splitlines():
        words = line.split()
        if words[:2] == ["NAME", "MESHED"]:
            found.append({})
        elif found and len(words) == 6 and words[0].split("/")[0] in ("service", "workload"):
            found[-1][words[0]] = (words[1], float(words[3]))
    return found


def test_the_demo_comes_up_moves_a_canary_and_leaves_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items()
                   if name.lower() not in ("apus_data", "apus_api", "http_proxy", "no_proxy", "xdg_state_home", "port")}
    environment["HOME"] = str(home)
    program = Program([APUS, "up", "--demo", "--demo-rate", "100", "--api", f"127.0.0.1:{free_port()}",
                       "--xds", f"127.0.0.1:{free_port()}"], str(tmp_path / "demo.log"), environment)
    try:
        wanted = {"service/front": "1/1", "service/cart": "1/1", "service/payments": "1/1", "service/catalog": "2/2"}

        def lives():
            assert program.is_running(), program.output()
            shown = [table for table in tables(program.output())
                     if all(name in table and table[name][0] == meshed and table[name][1] > 0
                            for name, meshed in wanted.items())]
            # … and it moves.
            return len(shown) > 1 and shown[-1] != shown[0]
        raw.eventually(lives, 180)
        shown = program.output()
        assert "Traceback" not in shown and str(home) not in shown.split("A canary")[1], "paths are shown from ~"
        commands = [line.strip() for line in shown.split("A canary")[1].splitlines()[1:6]]
        canary, watch, errors, get, stable = commands

        def typed(command):
            result = subprocess.run(["bash", "--norc", "-c", command], capture_output=True, text=True, timeout=60,
                                    env=environment, check=False)
            assert result.returncode == 0, (command, result.stdout, result.stderr)
            return result.stdout

        def requests_of(version, window):
            command = watch.replace("catalog-v2", f"catalog-{version}").replace("--watch", f"-o json --window {window}")
            return json.loads(typed(command))["items"][0]["requests"]
        assert canary.endswith("canary.yaml") and stable.endswith("stable.yaml") and errors.startswith("curl ")
        # Nobody has asked for the second version, and all for the first.
        assert requests_of("v2", 300) == 0 and requests_of("v1", 300) > 0
        typed(canary)
        raw.eventually(lambda: requests_of("v2", 300) > 20, 120)
        assert requests_of("v2", 300) < requests_of("v1", 300)
        assert "weight: 5" in typed(get)
        typed(errors)
        typed(stable)
        raw.eventually(lambda: requests_of("v2", 3) == 0 and requests_of("v1", 3) > 0, 120)
        program.send(signal.SIGINT)
        assert program.process.wait(90) == 0, program.output()
        assert left_of(home) == []
    finally:
        program.kill()
        for pid in left_of(home):
            os.kill(pid, signal.SIGKILL)
