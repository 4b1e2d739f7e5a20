"""What a scrape of many series costs: how long it takes, and whether requests notice.

  scrape.py [--series N] [--scrapes N] [--rounds N] [--seconds S]

One proxy with one worker has N series (lines of the exposition). It is scraped again and again, which takes time and, by
the scheduler's own account, CPU of the side thread and of the worker. A request that comes meanwhile waits until the turn
of the worker's loop is over: the longest turn within each scrape, which the proxy tells itself, is what a scrape delays a
request by. Then load at a fixed rate goes through it, in turns with and without a scrape every tenth of a second. The load counts a
request's latency from when it was due, so that a stall shows in all that it held up.
"""

import argparse
import os
import re
import socket
import statistics
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "Tests", "Integration"))

from support import load, raw  # noqa: E402
from support.static import Static  # noqa: E402

RATE = 200


def scrape(port):
    """Seconds from the request's first byte to the answer's last, and how many samples there were."""
    begin = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        parts = []
        while data := connection.recv(1 << 20):
            parts.append(data)
    took = time.perf_counter() - begin
    body = b"".join(parts)
    # Since the scrape before: that of the scrape before itself, where nothing else goes on.
    turn = float(re.search(rb"^apus_loop_turn_seconds\{[^}]*\} (\S+)", body, re.M)[1]) * 1000
    return took, body.count(b"\n") - body.count(b"\n#"), len(body), turn


def cpu_ms(pid):
    """What each thread has used, the side thread (the first) and the worker."""
    found = []
    for thread in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            found.append(int(file.read().split()[0]) / 1e6)
    return found


def make_series(proxy, wanted):
    """Answers with so many statuses that there are as many lines."""
    with raw.Connection(proxy.port) as connection:
        for status in range(200, 600):
            connection.request("GET", f"/status/{status}")
            connection.response()
            if status % 10 == 9 and scrape(proxy.admin_port)[1] >= wanted:
                return


def latencies(proxy, program, seconds, scrapes):
    """The load's own result, with a scrape every tenth of a second or without."""
    over = threading.Event()

    def again():
        while not over.wait(0.1):
            scrape(proxy.admin_port)
    thread = threading.Thread(target=again)
    with load.Load(program, proxy.port, connections=4, rate=RATE, seconds=seconds) as running:
        if scrapes:
            thread.start()
        running.wait()
    over.set()
    if scrapes:
        thread.join()
    return running.result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--scrapes", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = load.build(folder)
        world = Static(folder, program)
        try:
            proxy = world.proxy([world.server()], policy={"outlier": {"consecutive5xx": 0}, "retry": {"attempts": 0}})
            make_series(proxy, options.series)
            before = cpu_ms(proxy.program.pid)
            found = [scrape(proxy.admin_port) for _ in range(options.scrapes)]
            used = [(now - then) / options.scrapes for now, then in zip(cpu_ms(proxy.program.pid), before)]
            times, turns = sorted(one[0] * 1000 for one in found), sorted(one[3] for one in found[1:])
            print(f"{found[-1][1]} series, {found[-1][2] / 1e6:.1f} MB: a scrape takes {statistics.median(times):.1f} ms "
                  f"(least {times[0]:.1f}, most {times[-1]:.1f}); CPU: {used[0]:.2f} ms of the side thread, "
                  f"{sum(used[1:]):.2f} ms of the worker")
            print(f"the longest turn of the worker's loop within a scrape: {statistics.median(turns):.2f} ms (least {turns[0]:.2f}, "
                  f"most {turns[-1]:.2f}; over 1 ms: {sum(turn > 1 for turn in turns)} of {len(turns)})")
            for scrapes in (False, True) * options.rounds:
                result = latencies(proxy, program, options.seconds, scrapes)
                shown = {key: value for key, value in result.items() if key.startswith(("p", "max", "latency"))}
                print("with scrapes:   " if scrapes else "without scrapes:", shown)
        finally:
            world.stop()


if __name__ == "__main__":
    main()
