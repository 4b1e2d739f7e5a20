"""What a scrape of many series costs: how long it takes, and whether requests notice.

  scrape.py [--series N] [--scrapes N] [--rounds N] [--seconds S] [--rate N] [--every S]

One proxy with one worker has N series (lines of the exposition). It is scraped again and again, which takes time and, by
the scheduler's own account, CPU of the side thread and of the worker.

Then requests at a fixed rate, far from saturation, go through it, in turns with and without scrapes. Every thread has its
place: the worker on one CPU, the load and the server that answers on the other; the scraper is there too, of the idle
class, so that it takes nothing from them (a real one runs on another machine). The side thread, which makes the scrape's
text, is on the worker's CPU in half of the turns and on the other in the rest. A request's latency counts from when it was
due, so that a stall shows in all that it held up. Told apart are the requests that were due, or under way, while a scrape
was; what delays requests in turns without scrapes (the machine) is what those in the others are to be compared with.
"""

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "Tests", "Integration"))

import measure  # noqa: E402
from support import raw  # noqa: E402
from support.static import Server, Static, rule  # noqa: E402

DELAY_NS = 1_000_000


class Scraper:
    """Reads all of an answer of /metrics, into the same memory again and again."""

    def __init__(self, port):
        self.port, self.memory = port, bytearray(64 << 20)

    def scrape(self):
        """Nanoseconds (monotonic) at which the request was sent, and at which the last byte had come; then the bytes."""
        begin, length = time.monotonic_ns(), 0
        with raw.Connection(self.port).socket as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            view = memoryview(self.memory)
            while count := connection.recv_into(view[length:], 1 << 18):
                length += count
        return begin, time.monotonic_ns(), view[:length]

    def again(self, every, seconds):
        """Scrapes in even distances; prints when."""
        begin, windows = time.monotonic(), []
        for index in range(1, int(seconds / every)):
            time.sleep(max(0, begin + index * every - time.monotonic()))
            windows.append(self.scrape()[:2])
        json.dump(windows, sys.stdout)


def samples(text):
    return sum(1 for line in bytes(text).splitlines() if not line.startswith(b"#"))


def longest_turn_ms(text):
    """Since the scrape before: that of the scrape before itself, where nothing else goes on."""
    begin = bytes(text).index(b"\napus_loop_turn_seconds{")
    return float(bytes(text[begin + 1:begin + 200]).split(b"\n")[0].split()[-1]) * 1000


def threads(pid):
    """The side thread (the first) and the worker."""
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def cpu_ms(pid):
    """What each thread has used."""
    found = []
    for thread in threads(pid):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            found.append(int(file.read().split()[0]) / 1e6)
    return found


def make_series(proxy, scraper, wanted):
    """Answers with so many statuses that there are as many lines."""
    with raw.Connection(proxy.port) as connection:
        for status in range(200, 600):
            connection.request("GET", f"/status/{status}")
            connection.response()
            if status % 10 == 9 and samples(scraper.scrape()[2]) >= wanted:
                return


def cost(proxy, scraper, scrapes):
    """Prints what a scrape takes where nothing else goes on."""
    scraper.scrape()
    before, found = cpu_ms(proxy.program.pid), []
    for _ in range(scrapes):
        begin, end, text = scraper.scrape()
        found.append(((end - begin) / 1e6, longest_turn_ms(text)))
    used = [(now - then) / scrapes for now, then in zip(cpu_ms(proxy.program.pid), before)]
    times, turns = sorted(one[0] for one in found), sorted(one[1] for one in found)
    print(f"{samples(text)} series, {len(text) / 1e6:.1f} MB: a scrape takes {statistics.median(times):.1f} ms (least "
          f"{times[0]:.1f}, most {times[-1]:.1f}); CPU: {used[0]:.2f} ms of the side thread, {sum(used[1:]):.2f} ms of the worker")
    print(f"the longest turn of the worker's loop within a scrape: {statistics.median(turns):.2f} ms (least {turns[0]:.2f}, "
          f"most {turns[-1]:.2f}; over 1 ms: {sum(turn > 1 for turn in turns)} of {len(turns)})")


def turn(proxy, program, folder, options, scrapes):
    """One turn: all requests as pairs of when they were due and what they took, and the times of the scrapes."""
    path, scraper = os.path.join(folder, "samples"), None
    if scrapes:
        scraper = subprocess.Popen(
            [sys.executable, __file__, "--again", str(proxy.admin_port), "--every", str(options.every), "--seconds",
             str(options.seconds)], stdout=subprocess.PIPE)
    measure.run_load(program, proxy.port, path="/origin", host="server", connections=8, rate=options.rate,
                     seconds=options.seconds, samples=path)
    windows = json.loads(scraper.communicate()[0]) if scrapes else []
    with open(path, "rb") as file:
        return list(struct.iter_unpack("QQ", file.read())), windows


def touched(found, windows):
    """What the requests took that were due or under way while a scrape was."""
    taken, windows = [], iter(windows)
    window = next(windows, None)
    for due, took in sorted(found):
        while window and due > window[1]:
            window = next(windows, None)
        if window and due + took >= window[0]:
            taken.append(took)
    return taken


def show(name, taken, limit):
    taken = sorted(taken)

    def share(part):
        return taken[min(len(taken) - 1, int(part * len(taken)))] / 1e6
    late = sum(took > limit for took in taken)
    print(f"  {name:<34}{len(taken):>8}{share(.5):>8.3f}{share(.99):>8.3f}{share(.999):>8.3f}{taken[-1] / 1e6:>8.3f}"
          f"{late:>7} ({late / len(taken):.3%})")


def compare(proxy, program, folder, options, cpu):
    """Turns with and without scrapes, with the side thread on one CPU."""
    side, *workers = threads(proxy.program.pid)
    os.sched_setaffinity(side, {cpu})
    for worker in workers:
        os.sched_setaffinity(worker, {measure.PROXY_CPU})
    without, within, beside, scrapes = [], [], [], 0
    for _ in range(options.rounds):
        without += [took for _, took in turn(proxy, program, folder, options, False)[0]]
        found, windows = turn(proxy, program, folder, options, True)
        scrapes += len(windows)
        within += touched(found, windows)
        beside += [took for _, took in found]
    limit = statistics.median(without) + DELAY_NS
    where = "the worker's CPU" if cpu == measure.PROXY_CPU else "the other CPU"
    print(f"side thread on {where}, {scrapes} scrapes; requests' latency, ms")
    print(f"  {'':<34}{'number':>8}{'p50':>8}{'p99':>8}{'p99.9':>8}{'most':>8}  over p50 without + 1 ms")
    show("without scrapes", without, limit)
    show("with scrapes, all", beside, limit)
    show("with scrapes, during one", within, limit)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--scrapes", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--every", type=float, default=1)
    parser.add_argument("--again", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again:
        os.sched_setaffinity(0, {measure.LOAD_CPU})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return Scraper(options.again).again(options.every, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        program, port = measure.build_load(folder, tls=False), measure.free_port()
        origin = measure.spawn([measure.compile_c("origin", folder), str(port)], measure.LOAD_CPU, os.path.join(folder, "log"))
        world = Static(folder, program)
        try:
            measure.wait_port(port, origin)
            named = {"namespace": "default", "name": "origin", "ports": [
                {"number": 80, "name": "http", "targetPortName": "http", "appProtocol": "http"}]}
            server, quick = world.server(), Server("origin", port, origin)
            proxy = world.proxy(
                [server], policy={"outlier": {"consecutive5xx": 0}, "retry": {"attempts": 0}}, services=[named],
                workloads=[server.workload(), quick.workload("default/origin")],
                routes=[rule("/origin", 0, "origin"), rule("/", 1)])
            scraper = Scraper(proxy.admin_port)
            make_series(proxy, scraper, options.series)
            cost(proxy, scraper, options.scrapes)
            for cpu in (measure.PROXY_CPU, measure.LOAD_CPU):
                compare(proxy, program, folder, options, cpu)
        finally:
            world.stop()
            measure.stop(origin)


if __name__ == "__main__":
    main()
