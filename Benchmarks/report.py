"""Turns measurements into a table of at most 80 columns, a JSON file, and a page for people."""

import json
import os
import platform
import statistics
import sys
import textwrap

ORDER = ["apus", "envoy", "haproxy", "nginx"]


def progress(text):
    """One line that overwrites itself on a terminal, and nothing elsewhere but on standard error."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def machine():
    model = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2]), "arch": platform.machine()}


def ratio(row, name, key="cpu_us", of="apus"):
    """Apus's figure (or that of another) over a proxy's: the median of the ratios within each round. A figure that is a
    difference may be below nothing in a round; of such the medians are compared."""
    if key.endswith("_added"):
        ours, theirs = (row["proxies"].get(who, {}).get(key) for who in (of, name))
        return ours / theirs if ours is not None and theirs and theirs > 0 else None
    ours, theirs = row["rounds"].get(of), row["rounds"].get(name)
    pairs = [(a, b) for a, b in zip(ours or [], theirs or []) if a and b]
    return statistics.median(a[key] / b[key] for a, b in pairs) if pairs else None


def cell(value, width=8, digits=1):
    return f"{value:{width}.{digits}f}" if value is not None else " " * (width - 1) + "–"


def table(title, rows, key, digits=1, ratios=True):
    names = [name for name in ORDER if any(name in row["proxies"] for row in rows)]
    lines = [title, f"{'':24}" + "".join(f"{name:>9}" for name in names)
             + ("  /envoy /haproxy" if ratios and "apus" in names else "")]
    for row in rows:
        line = f"{row['title']:24}"
        for name in names:
            line += " " + cell(row["proxies"].get(name, {}).get(key), 8, digits)
        if ratios and "apus" in names:
            line += cell(ratio(row, "envoy", key), 8, 2) + cell(ratio(row, "haproxy", key), 9, 2)
        lines.append(line.rstrip())
    return "\n".join(lines)


def above_the_floor(rows):
    """How many times the cost of a bare copy loop each proxy takes, where that loop was measured."""
    rows = [row for row in rows if "floor" in row["proxies"]]
    if not rows:
        return []
    lines = ["CPU per request as a multiple of the floor, a loop that only copies bytes",
             f"{'':24}" + "".join(f"{name:>9}" for name in ORDER) + "  floor µs"]
    for row in rows:
        lines.append(f"{row['title']:24}" + "".join(" " + cell(ratio(row, "floor", of=name), 8, 2) for name in ORDER)
                     + cell(row["proxies"]["floor"]["cpu_us"], 10))
    return ["\n".join(lines)]


def policies(rows):
    """What all policies on cost above the bare path, in the same run; nothing where one of the rows was not measured."""
    bare, full = ([row["rounds"].get("apus") for row in rows if row["title"] == title]
                  for title in ("plain 13 B, 64 conn", "policies 13 B, 64 conn"))
    pairs = [(a, b) for a, b in zip(bare[0] or [], full[0] or []) if a and b] if bare and full else []
    if not pairs:
        return None
    cost = statistics.median(b["cpu_us"] - a["cpu_us"] for a, b in pairs)
    return f"All policies on, 50 rules, above the bare path: {cost:.1f} µs per request (median of the rounds' differences)"


def matching(found):
    lines = ["Finding a request's rule, ns for one (no sockets; heads drawn out of 4,096)"]
    for count in (10, 100, 1_000, 10_000):
        lines.append(f"{f'{count:,} rules: paths, some headers':44}{found[f'mixed_{count}']:9.0f}")
    for count in (100, 10_000):
        lines.append(f"{f'{count:,} rules told apart by a header alone':44}{found[f'header_{count}']:9.0f}")
    return "\n".join(lines)


def large(found):
    memory = [("from a file", "static_rss"), ("from the control plane", "rss"), ("… after a change of one endpoint", "endpoint_rss"),
              ("… and of a route", "route_rss")]
    delays = [("one endpoint, four times", "one"), ("all endpoints, twice", "all")]
    return "\n".join(
        ["1,000 services with 10 endpoints each and 2,000 rules: memory of the proxy, MB (resident)"]
        + [f"{text:52}{found[key]:9.1f}" for text, key in memory]
        + ["", "Longest of 8,000 requests at 2,000 a second, ms; the same applied again changes nothing at the proxy",
           f"{'':52}  changed    again"]
        + [f"{text:52}{found[key + '_ms']:9.2f}{found[key + '_same_ms']:9.2f}" for text, key in delays]
        + ["", "Longest turn of the proxy's loop meanwhile, ms"]
        + [f"{text:52}{found[key + '_turn_ms']:9.2f}{found[key + '_same_turn_ms']:9.2f}" for text, key in delays])


def tables(result):
    """Every table of a run, as text."""
    found = []
    if result["rows"]:
        found.append(table("CPU µs per request of the proxy (of both, for a pair)", result["rows"], "cpu_us"))
        found += above_the_floor(result["rows"])
        found.append(table("Requests per second", result["rows"], "rps", digits=0, ratios=False))
        found.append(table("Memory after the load, MB (proportional; both, for a pair)", result["rows"], "pss"))
    if cost := policies(result["rows"]):
        found.append(cost)
    if result["match"]:
        found.append(matching(result["match"]))
    if result["large"]:
        found.append(large(result["large"]["proxies"]["apus"]))
    if result["latency"]:
        for key, name in (("p50_us", "median"), ("p99_us", "99th percentile"),
                          ("p99_us_added", "99th percentile above the backend alone")):
            found.append(table(f"Latency, µs, {name}; 16 connections, 1 KB, counted from when due",
                               [result["latency"]], key))
    if result["idle"]:
        found.append(table("Idle memory, MB (resident)", [result["idle"]], "rss"))
        found.append(table("Start to listening, ms", [result["idle"]], "ready_ms"))
    if result["streams"]:
        found.append(table("Memory with 10,000 streams open and idle on both sides, MB (resident)", [result["streams"]],
                           "rss"))
    if result["resets"]:
        for key, name in (("calm_p99_us", "left alone"), ("p99_us", "while 1,000 connections reset rapidly")):
            found.append(table(f"Latency, µs, 99th percentile, 2000 requests/s by HTTP/2, {name}", [result["resets"]], key))
        found.append(table("What the rapid resets cost others: ratio of these", [result["resets"]], "ratio", digits=2,
                           ratios=False))
        found.append(table("CPU µs for each connection that resets 400 requests rapidly", [result["resets"]], "cpu_us"))
    names = [name for name in ORDER if name in result["sizes_mb"]]
    if names:
        found.append("Program on disk, stripped, MB\n" + f"{'':24}" + "".join(f"{name:>9}" for name in names) + "\n"
                     + f"{'':24}" + "".join(" " + cell(result["sizes_mb"][name], 8) for name in names))
    return found


PAGE = """# Benchmarks

How Apus compares with Envoy, HAProxy and nginx on one machine. `make bench` repeats it and prints the same tables;
`ARGS=--quick` takes a few minutes, `ARGS="--only pair"` picks rows, `ARGS="--page docs/benchmarks.md"` writes this page.

## How it is measured

- The proxy has one CPU to itself. Load generator and backend share the other.
- A thread of the idle scheduling class keeps the proxy's CPU awake. Without it, in a virtual machine, each wake-up from
  the other CPU costs more than the work of a fast proxy, and the busiest proxy looks best.
- The backends are small programs that answer from memory (`Benchmarks/origin.c`, `Benchmarks/origin-h2.c`), but nginx
  for large answers by HTTP/2 and nghttpd for gRPC. With nginx everywhere the load's CPU had no time left to keep a fast
  proxy busy, which then paid for falling asleep and waking up: 0.26 times per request at mTLS, where a slower one did so
  0.001 times.
- CPU time is the scheduler's own account of all threads of the proxy (`/proc/PID/task/*/schedstat`), divided by the
  requests answered. It is the figure to compare: throughput here is bounded by the load's CPU.
- The proxies take turns, round after round; the figures are medians of the rounds, the ratios medians of the ratios
  within each round.
- All of them do the same work: route by path prefix, make a request id, keep connections to the backend, keep
  statistics on and the access log off, use one worker thread. TLS is version 1.3 with P-256 certificates.
- *mTLS* is one hop that ends TLS and wants a client certificate; *pair* is two proxies with mutual TLS between them
  (their CPU added), who speak HTTP/1.1 to each other, but for Apus, which always speaks HTTP/2; in *pair, h2* all of
  them do; *pair, HBONE* carries bytes in CONNECT streams; *L4* copies bytes without looking at them.
- *h2 to h1* and *h2 to h2* name what the load and the backend speak: 16 connections with 10 requests on each at any time
  (h2load). *gRPC unary* is a message of 32 bytes that nghttpd sends back, with its status in a trailer.
- *policies* is the plain hop with fifty rules and every policy on that a request passes (limits, faults, affinity,
  ejection, retries, hedging): what it costs above *plain* is the price of the policies. Envoy and HAProxy have the same
  as far as they can (`Benchmarks/policies.py`): Envoy one limit where Apus has four and no zones, HAProxy no hedging and
  no time limit for a single try.
- Rows that name a rate leave the proxy idle for most of the time: it pays for falling asleep and waking up with nearly
  every message. All other rows load it as much as it can take.
- The *floor* is no proxy: a loop in C that receives and sends the same bytes and does nothing else. What it costs is
  the kernel's share of a hop; a proxy pays that too, so it bounds every ratio.
- Rules are found by their paths; those that have one path and differ in a header are found by the header's value.
- *1,000 services …* is a sidecar under a real control plane, with 2,000 requests a second meanwhile. What is applied costs
  control plane and command line the CPU that they share with load and backend; so the same objects are applied again by
  turns, which changes nothing at the proxy: the difference is what a change of the configuration costs a request.
- *all seen* is the plain hop with 1 % of the requests traced (OTLP/HTTP; HAProxy has none) and an access log in JSON
  written to `/dev/null`; metrics are on in every row. What it costs above *plain* is the price of seeing.
- Latency is measured at a fixed rate, and counts from when a request was due, not from when it was sent.

## The machine

{circumstances}

## Results

{tables}

A dash means that the proxy cannot do this kind of work in the build that was used.

"""


# What people have written on the page, from this heading on, stays.
BY_HAND = "## Against the goals"


def by_hand(page):
    """The part of the page that is not from a run."""
    if not os.path.exists(page):
        return ""
    with open(page) as file:
        return "".join(file.read().partition(BY_HAND)[1:])


def write(result, path, page):
    with open(path, "w") as file:
        json.dump(result, file, indent=1)
    progress("")
    found = tables(result)
    print("\n\n".join(found))
    print(f"\nAll samples: {os.path.relpath(path)}")
    if page:
        blocks = "\n\n".join(f"```\n{text}\n```" for text in found)
        circumstances = "{cpu}, {cpus} CPUs, Linux {kernel}, {arch}.".format(**result["machine"])
        circumstances += f" {result['rounds']} rounds of {result['seconds']:g} s. {result.get('note', '')}"
        text = PAGE.format(tables=blocks, circumstances=textwrap.fill(circumstances.strip(), 116)) + by_hand(page)
        with open(page, "w") as file:
            file.write(text)
