"""HTTP/2 in measurements: load by h2load, a gRPC backend, streams that do nothing, and rapid resets."""

import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

import measure

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def request(stream, method=b"\x82", path=b"\x84", end=True):
    """HEADERS with a method and a path from HPACK's static table."""
    return frame(1, 5 if end else 4, stream, method + b"\x86" + path + b"\x01\x05bench")


def run_h2load(port, seconds, warmup, connections, streams, path="/", body=None, headers=(), watch=None, rate=None,
               log=None):
    """One run of h2load; `watch` is called when the measured part begins and when it ends. Returns what was answered."""
    command = ["taskset", "-c", str(measure.LOAD_CPU), "h2load", "-t", "1", "-c", str(connections), "-m", str(streams),
               "-D", str(max(1, round(seconds))), "--warm-up-time", str(max(1, round(warmup)))]
    if body:
        command += ["-d", body]
    if rate:
        command += ["--rps", str(rate / connections)]
    if log:
        command += ["--log-file", log]
    for header in headers:
        command += ["-H", header]
    began, text = None, ""
    with subprocess.Popen([*command, f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "Main benchmark duration is started" in line:
                began = time.monotonic()
                if watch:
                    watch()
            elif "Main benchmark duration is over" in line:
                took = time.monotonic() - began
                if watch:
                    watch()
            text += line
    found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    done, good, bad, broken = (int(number) for number in found.groups())
    return {"requests": done, "succeeded": good, "failed": bad + broken, "seconds": took, "rps": done / took}


class GRPCBackend:
    """nghttpd, which sends back what it gets, with grpc-status in a trailer."""

    headers = ("content-type: application/grpc", "te: trailers")

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.port = measure.free_port()
        self.message = os.path.join(folder, "message")
        with open(self.message, "wb") as file:
            file.write(b"\0\0\0\0\x20" + b"x" * 32)
        with open(os.path.join(folder, "index.html"), "w") as file:
            file.write("Hello, world!")
        self.process = measure.spawn(
            ["nghttpd", "--no-tls", "-d", folder, "--echo-upload", "--trailer", "grpc-status: 0", str(self.port)],
            measure.LOAD_CPU, os.path.join(folder, "log"))
        measure.wait_port(self.port, self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        measure.stop(self.process)


TEXT = b"\0\0\0\0\x07message"
MESSAGE = frame(0, 0, 1, TEXT)
# SETTINGS with the largest windows for streams, and one for the connection.
WIDE = frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(8, 0, 0, b"\x7f\xfe\0\0")


def bodies_in(sock, buffer, answer=None):
    """Reads once; returns what is left of the last frame, and how many octets of bodies came: messages and frames have
    nothing to do with each other. `answer` is called for each frame."""
    data, at, count = buffer + sock.recv(65536), 0, 0
    while len(data) - at >= 9:
        end = at + 9 + int.from_bytes(data[at:at + 3], "big")
        if end > len(data):
            break
        if answer:
            answer(data[at + 3], data[at + 4])
        count += end - at - 9 if data[at + 3] == 0 else 0
        at = end
    return data[at:], count


class Messages:
    """A server of gRPC with one call on each connection, which sends every message back."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.call, args=(sock,), daemon=True).start()

    @staticmethod
    def call(sock):
        out = [WIDE]

        def answer(kind, flags):
            if kind == 4 and not flags & 1:
                out.append(frame(4, 1, 0))
            elif kind == 1:
                out.append(frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc"))
        try:
            buffer = b""
            while len(buffer) < 24:
                buffer += sock.recv(24 - len(buffer))
            buffer, owed = b"", 0
            while True:
                buffer, count = bodies_in(sock, buffer, answer)
                messages, owed = divmod(owed + count, len(TEXT))
                sock.sendall(b"".join(out) + MESSAGE * messages)
                out.clear()
        except OSError:
            pass

    def close(self):
        self.listening.close()


def message_stream(port, seconds, warmup, watch):
    """One call that stays open: messages go out a hundred at a time and come back. Returns how many did."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(PREFACE[:24] + WIDE + frame(4, 1, 0) + frame(1, 4, 1, b"\x83\x86\x04\x05/a/Do\x01\x05bench\x0f\x10\x10application/grpc"))
        buffer, total, began = b"", 0, None
        begin = time.monotonic()
        while True:
            now = time.monotonic()
            if began is None and now - begin >= warmup:
                began, total = now, 0
                watch()
            if began is not None and now - began >= seconds:
                watch()
                return {"requests": total, "failed": 0, "seconds": now - began}
            sock.sendall(MESSAGE * 100)
            left = 100 * len(TEXT)
            while left > 0:
                buffer, count = bodies_in(sock, buffer)
                left -= count
            total += 100


def ends(sock):
    """Whether the other side has closed the connection, said that it will, or reset a stream."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
        return True
    except BlockingIOError:
        pass
    while len(data) >= 9:
        if data[3] in (3, 7):
            return True
        data = data[9 + int.from_bytes(data[:3], "big"):]
    return False


def idle_streams(proxy, backend, connections=100, streams=100):
    """Memory of a proxy that holds so many requests open, on both sides, with nothing happening on any."""
    port = proxy.start("h2h2", backend.port)
    sockets = []
    try:
        before = measure.memory_mb(proxy.pids())
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port), 10)
            sock.sendall(PREFACE + b"".join(
                request(2 * number + 1, method=b"\x83", end=False) for number in range(streams)))
            sockets.append(sock)
        time.sleep(3)
        after = measure.memory_mb(proxy.pids())
        for sock in sockets:
            # Whoever has closed a connection instead does not count as cheap.
            sock.setblocking(False)
            if ends(sock):
                raise RuntimeError(f"{proxy.name} does not hold {streams} streams on a connection")
        return {"rss": after["rss"], "grown": after["rss"] - before["rss"]}
    finally:
        for sock in sockets:
            sock.close()
        proxy.stop()


RESETS = """
import os, socket, sys, time
port, connections, seconds, cpu = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
flood = sys.stdin.buffer.read()
# It shares a CPU with those whose latency is measured, and must not be what they wait for: they go first.
os.sched_setaffinity(0, {cpu})
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
os.nice(19)
begin, held, done = time.monotonic(), [], 0
for number in range(connections):
    time.sleep(max(0.0, begin + seconds * number / connections - time.monotonic()))
    try:
        sock = socket.create_connection(("127.0.0.1", port), 1)
        sock.settimeout(1)
        sock.sendall(flood)
        held.append(sock)
        done += 1
    except OSError:
        pass
    if len(held) > 50:
        held.pop(0).close()
print(done)
"""


class Resets:
    """So many connections, one after another for so long, each of which opens and cancels 400 requests at once."""

    def __init__(self, port, connections, seconds):
        flood = PREFACE + b"".join(
            request(2 * number + 1) + frame(3, 0, 2 * number + 1, b"\0\0\0\x08") for number in range(400))
        self.process = subprocess.Popen(
            [sys.executable, "-c", RESETS, str(port), str(connections), str(seconds), str(measure.LOAD_CPU)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdin.write(flood)

    def begin(self):
        self.process.stdin.close()

    def made(self):
        """Waits for the end; how many of the connections there have been."""
        found = int(self.process.stdout.read() or 0)
        self.process.wait()
        return found


def percentile(port, seconds, log, attack=None):
    """Latencies of requests at a fixed rate, in microseconds, sorted; an attack begins when the measurement does."""
    if os.path.exists(log):
        os.remove(log)
    started = []

    def watch():
        if attack and not started:
            attack.begin()
        started.append(True)
    run_h2load(port, seconds, 1, 16, 1, "/1k", rate=2000, log=log, watch=watch)
    with open(log) as file:
        return sorted(int(line.split()[2]) for line in file if line.split()[1] == "200")


def reset_cost(proxy, backend, folder, seconds=8, connections=1000, turns=3):
    """99th percentile of requests at a fixed rate, alone and while others reset rapidly, in turns: what the machine does
    besides is in both (where it does much, `chrt -r 5 make bench` keeps that out). And what each of these connections costs in CPU time, which a busy machine does not blur."""
    port = proxy.start("h2", backend.port)
    log = os.path.join(folder, "latencies")
    calm, attacked, ratios, spent, made = [], [], [], {"calm": 0, "attacked": 0}, 0
    try:
        percentile(port, 1, log)
        for turn in range(turns):
            found = {}
            # Whichever comes first in a turn comes second in the next.
            for name in ("calm", "attacked") if turn % 2 else ("attacked", "calm"):
                attack = Resets(port, connections, seconds - 1) if name == "attacked" else None
                before = measure.cpu_ns(proxy.pids())
                taken = percentile(port, seconds, log, attack)
                made += attack.made() if attack else 0
                spent[name] += measure.cpu_ns(proxy.pids()) - before
                found[name] = taken[int(len(taken) * 0.99)]
            calm.append(found["calm"])
            attacked.append(found["attacked"])
            ratios.append(found["attacked"] / found["calm"])
        cost = (spent["attacked"] - spent["calm"]) / 1e3 / max(1, made)
        return {"cpu_us": cost, "p99_us": statistics.median(attacked), "calm_p99_us": statistics.median(calm),
                "ratio": statistics.median(ratios)}
    finally:
        proxy.stop()


if __name__ == "__main__":
    sys.exit("a part of run.py")
