"""Compares Apus with Envoy, HAProxy and nginx on the same load and backend, in turn, and prints medians and ratios.

  run.py [--quick] [--rounds N] [--seconds S] [--only SUBSTRING]... [--proxies a,b] [--json FILE] [--page FILE]
         [--note TEXT]

The proxy has one CPU to itself (with an idle-class spinner that keeps it awake), load and backend share the other.
The figure that counts is CPU time per request of the proxy's processes, from the scheduler's accounts.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import http2
import large
import measure
import proxies
import report
from certificates import Certificates

SIZES = {"13 B": "/", "1 KB": "/1k", "100 KB": "/100k", "1 MB": "/1m"}

# (title, shape of work, size of the answer, connections); the quick run takes those marked.
WORK = [
    ("plain 13 B, 1 conn", "plain", "13 B", 1, False),
    ("plain 13 B, 64 conn", "plain", "13 B", 64, True),
    ("plain 13 B, 1000 conn", "plain", "13 B", 1000, False),
    ("plain 13 B, 15,000/s", "plain", "13 B", 64, True),
    ("policies 13 B, 64 conn", "features", "13 B", 64, True),
    ("all seen 13 B, 64 conn", "observed", "13 B", 64, True),
    ("plain 1 KB, 64 conn", "plain", "1 KB", 64, False),
    ("plain 100 KB, 64 conn", "plain", "100 KB", 64, False),
    ("mTLS 13 B, 64 conn", "mtls", "13 B", 64, True),
    ("mTLS 13 B, 1000 conn", "mtls", "13 B", 1000, False),
    ("mTLS 100 KB, 64 conn", "mtls", "100 KB", 64, False),
    ("pair 13 B, 64 conn", "pair", "13 B", 64, True),
    ("pair 13 B, 15,000/s", "pair", "13 B", 64, True),
    ("pair 1 KB, 64 conn", "pair", "1 KB", 64, False),
    ("pair 100 KB, 64 conn", "pair", "100 KB", 64, False),
    ("L4 13 B, 64 conn", "l4", "13 B", 64, True),
    ("h2 to h1 13 B, 16x10", "h2", "13 B", 16, True),
    ("h2 to h1 1 KB, 16x10", "h2", "1 KB", 16, False),
    ("h2 to h2 13 B, 16x10", "h2h2", "13 B", 16, True),
    ("h2 to h2 100 KB, 16x10", "h2h2", "100 KB", 16, False),
    ("gRPC unary, 16x10", "grpc", "13 B", 16, True),
    ("pair, h2 13 B, 64 conn", "pair-h2", "13 B", 64, True),
    ("pair, h2 1 KB, 64 conn", "pair-h2", "1 KB", 64, False),
    ("pair, h2 1 MB, 16 conn", "pair-h2", "1 MB", 16, False),
    ("pair, HBONE 13 B, 64", "pair-l4", "13 B", 64, True),
    ("pair, HBONE 1 MB, 16", "pair-l4", "1 MB", 16, False),
]

# Requests a second where a row does not load the proxy as much as it can take: the proxy sleeps and wakes up.
RATES = {"plain 13 B, 15,000/s": 15_000, "pair 13 B, 15,000/s": 15_000}

# Streams on each connection where the load speaks HTTP/2.
STREAMS = 10


def measure_once(proxy, load, backend, shape, size, connections, seconds, rate=None):
    """CPU per request, throughput and memory of one proxy at full load, or at so many requests a second."""
    is_http2 = shape in ("h2", "h2h2", "grpc")
    http2_port = backend.http2_port if size == "13 B" else backend.large_http2_port
    port = proxy.start(shape, {"h2h2": http2_port, "grpc": backend.grpc.port}.get(shape, backend.port))
    try:
        flags = {"path": SIZES[size], "connections": connections}
        if shape in ("tls", "mtls"):
            flags.update(tls=True, sni="backend")
        if shape == "mtls":
            flags.update(cert=proxy.certificates.client, key=proxy.certificates.client_key,
                         alpn=proxy.alpn)
        spent, memory = [], []

        def watch():
            pids = proxy.pids()
            spent.append(measure.cpu_ns(pids))
            memory.append(measure.memory_mb(pids))
        # Handshakes take their time before the first request can be answered.
        warmup = max(0.5, seconds / 3) + (0 if shape == "plain" else connections * 0.002)
        if is_http2:
            more = {"body": backend.grpc.message, "headers": backend.grpc.headers} if shape == "grpc" else {}
            result = http2.run_h2load(port, seconds, warmup, connections, STREAMS, SIZES[size], watch=watch, **more)
        else:
            result = measure.run_load(load, port, watch=watch, warmup=warmup, seconds=seconds, rate=rate, **flags)
        if result["requests"] == 0 or result["failed"] or result.get("server_errors"):
            raise RuntimeError(f"{proxy.name}, {shape}, {size}, {connections} connections: the load failed: {result}")
        cpu = spent[1] - spent[0]
        return {"cpu_us": cpu / 1e3 / result["requests"], "rps": result["rps"],
                "busy": cpu / 1e9 / result["seconds"], **memory[1]}
    finally:
        proxy.stop()


def latency_once(proxy, load, backend, seconds):
    """Latency at 1000 requests a second on 16 connections, 1 KB answers, counted from when each request was due; with no
    proxy, that of the backend alone."""
    port = proxy.start("plain", backend.port) if proxy else backend.port
    try:
        result = measure.run_load(load, port, warmup=1, seconds=seconds, rate=1000, connections=16, path="/1k")
        return {"p50_us": result["p50_us"], "p99_us": result["p99_us"]}
    finally:
        if proxy:
            proxy.stop()


def added(latency):
    """What each proxy adds to the latency of the backend alone, within each round."""
    alone = latency["rounds"].pop("none")
    del latency["proxies"]["none"]
    for values in latency["rounds"].values():
        for value, base in zip(values, alone):
            if value and base:
                value.update({f"{key}_added": value[key] - base[key] for key in base})
    latency["proxies"] = {name: median_of([value for value in values if value])
                          for name, values in latency["rounds"].items()}
    return latency


def idle_once(proxy, backend):
    """Memory after start, and the time from start to listening with the configuration at hand."""
    proxy.start("plain", backend.port)
    try:
        ready = proxy.ready_seconds
        time.sleep(0.3)
        return {"ready_ms": ready * 1e3, **measure.memory_mb(proxy.pids())}
    finally:
        proxy.stop()


def median_of(samples):
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def collect(title, names, rounds, once):
    """Runs `once(name)` for each proxy in turn, round after round; returns medians, and ratios within each round."""
    samples = {name: [] for name in names}
    for number in range(rounds):
        for name in list(samples):
            report.progress(f"{title}: round {number + 1} of {rounds}, {name}")
            try:
                samples[name].append(once(name))
            except proxies.Unavailable as reason:
                report.progress(f"{title}: {name} left out: {reason}")
                del samples[name]
            except RuntimeError as failure:
                report.progress("")
                print(f"{title}, round {number + 1}: {failure}", file=sys.stderr)
                samples[name].append(None)
    medians = {name: median_of([value for value in values if value]) for name, values in samples.items() if any(values)}
    return {"title": title, "proxies": medians, "rounds": samples}


def sizes(names):
    """Size on disk of each program, stripped, in MB."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                program = shutil.which(proxies.ALL[name](folder, None).command("-")[0])
            except proxies.Unavailable:
                continue
            target = os.path.join(folder, "stripped")
            subprocess.run(["strip", "-o", target, program], check=True)
            found[name] = os.path.getsize(target) / 1e6
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer shapes, two short rounds")
    parser.add_argument("--rounds", type=int, default=None, help="rounds per row (default 5, quick 2)")
    parser.add_argument("--seconds", type=float, default=None, help="seconds per sample (default 3, quick 1.5)")
    parser.add_argument("--only", action="append", default=[], help="only rows whose title has this in it")
    parser.add_argument("--proxies", default=",".join(proxies.ALL), help="which, by name")
    parser.add_argument("--json", default=os.path.join(measure.HERE, "results", "latest.json"))
    parser.add_argument("--page", default=None, help="also write the page for people here")
    parser.add_argument("--note", default="", help="a sentence for the page, on what was special about this run")
    return parser.parse_args()


def main():
    options = arguments()
    if os.cpu_count() < 2:
        sys.exit("Two CPUs are needed: one for the proxy, one for the load and the backend.")
    rounds = options.rounds or (2 if options.quick else 5)
    seconds = options.seconds or (1.5 if options.quick else 3.0)
    names = [name for name in options.proxies.split(",") if name in proxies.ALL]
    os.makedirs(os.path.dirname(options.json), exist_ok=True)

    with tempfile.TemporaryDirectory(prefix="apus-bench-") as folder, measure.Spinner():
        # The programs drop to other users or run under several: the folder must be open to them.
        os.chmod(folder, 0o755)
        certificates = Certificates(os.path.join(folder, "certificates"))
        load = measure.build_load(folder)

        def proxy(name):
            return proxies.ALL[name](os.path.join(folder, name), certificates)

        with measure.Backend(os.path.join(folder, "backend")) as backend, \
                http2.GRPCBackend(os.path.join(folder, "grpc")) as backend.grpc:
            rows = []
            for title, shape, size, connections, is_quick in WORK:
                if options.quick and not is_quick:
                    continue
                if options.only and not any(word in title for word in options.only):
                    continue

                def once(name, title=title, shape=shape, size=size, connections=connections):
                    return measure_once(proxy(name), load, backend, shape, size, connections, seconds, RATES.get(title))
                rows.append(collect(title, names, rounds, once))
            latency = idle = None
            real = [name for name in names if name != "floor"]
            speaking = [name for name in real if name != "nginx"]
            streams = resets = size = match = None
            if not options.only or "streams" in options.only:
                streams = collect("10,000 idle streams", speaking, 1,
                                  lambda name: http2.idle_streams(proxy(name), backend.grpc))
            if not options.only or "resets" in options.only:
                resets = collect("rapid resets", speaking, rounds,
                                 lambda name: http2.reset_cost(proxy(name), backend, folder))
            if not options.only or "large" in options.only:
                size = collect("1,000 services, 2,000 rules", ["apus"], min(rounds, 3), lambda _: large.once(
                    load, backend, tempfile.mkdtemp(prefix="large-", dir=folder)))
            if not options.only or "match" in options.only:
                report.progress("finding a rule")
                match = json.loads(subprocess.run(
                    [os.path.join(measure.HERE, "match")], check=True, stdout=subprocess.PIPE).stdout)
            if not options.only or "latency" in options.only:
                latency = added(collect("1000 requests/s", ["none", *real], rounds, lambda name: latency_once(
                    None if name == "none" else proxy(name), load, backend, seconds * 2)))
            if not options.only:
                idle = collect("idle", real, rounds, lambda name: idle_once(proxy(name), backend))

    result = {"machine": report.machine(), "rounds": rounds, "seconds": seconds, "rows": rows, "latency": latency,
              "idle": idle, "streams": streams, "resets": resets, "large": size, "match": match, "sizes_mb": sizes(real),
              "note": options.note}
    report.write(result, options.json, options.page)


if __name__ == "__main__":
    main()
