"""Traces: what goes on to the next hop, which spans are recorded, and how they reach a collector."""

import json
import os
import re
import secrets
import sys

import pytest

from support import raw
from support.collector import Collector
from support.processes import APPS
from support.static import rule

TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])$")


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.stop()


def tracing(collector, protocol="grpc", **more):
    port = collector.grpc_port if protocol == "grpc" else collector.http_port
    path = "" if protocol == "grpc" else "/otlp"
    return {"telemetry": {"tracing": {
        "samplePerMillion": 1_000_000, **more,
        "exporter": {"endpoint": f"http://127.0.0.1:{port}{path}", "protocol": protocol, "headers": {"x-tenant": "t1"}}}}}


def ids():
    return secrets.token_hex(16), secrets.token_hex(8)


def arrived(proxy, fields, target="/headers"):
    """The header fields that reach the application, by name; all values of each."""
    answer = proxy.get(target, fields=fields)
    assert answer.status == 200, answer
    found = {}
    for name, value in json.loads(answer.body)["fields"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def one(fields, name="traceparent"):
    assert len(fields.get(name, [])) == 1, fields
    return TRACEPARENT.match(fields[name][0]).groups()


# The rules of the W3C test suite on the wire, with and without spans being recorded. `Tests/MeshTelemetryTests` has all
# of them; here is one of each kind, through the parser and the writer of heads.
VALID = ["00-{t}-{p}-01", "cc-{t}-{p}-01", "cc-{t}-{p}-01-what-the-future-will-be-like", " \t00-{t}-{p}-01 \t"]
INVALID = ["00-{t}-{p}-01.", "00-{t}-{p}-01-more", "ff-{t}-{p}-01", "0-{t}-{p}-01", "00-{z}-{p}-01", "00-{t}-0000000000000000-01",
           "00-{t}x-{p}-01", "00-{t}-{p}-1", "00-{t}-{p}-.1", "", "00-{u}-{p}-01"]


@pytest.mark.parametrize("recording", [True, False], ids=["recording", "passing"])
def test_the_w3c_rules_hold_on_the_wire(static, collector, recording):
    proxy = static.proxy([static.server()], proxy=tracing(collector) if recording else None)
    for form in VALID:
        trace, parent = ids()
        found = one(arrived(proxy, [("TrAcEpArEnT", form.format(t=trace, p=parent))]))
        assert found[0] == trace and (found[1] == parent) == (not recording) and int(found[2]) & 1
    for form in INVALID:
        trace, parent = ids()
        value = form.format(t=trace, p=parent, z="0" * 32, u=trace.upper())
        found = one(arrived(proxy, [("traceparent", value), ("tracestate", "foo=1")]))
        assert found[0] != trace and found[1] != parent and int(found[2]) & 2, "a new trace, said to be random"
    trace, parent = ids()
    value = f"00-{trace}-{parent}-01"
    assert one(arrived(proxy, [("traceparent", value), ("traceparent", value)]))[0] != trace
    assert one(arrived(proxy, [("trace-parent", value), ("trace.parent", value)]))[0] != trace
    states = [[["foo=1,bar=2"], True], [["foo=1", "bar=2"], True], [["foo=1 \t , \t bar=2"], True], [["foo@=1"], True],
              [["FOO=1"], False], [["foo=bar=baz"], False], [["foo=1", "z" * 257 + "=1"], False],
              [[",".join(f"k{n}=1" for n in range(32))], True], [[",".join(f"k{n}=1" for n in range(33))], False]]
    for values, passes in states:
        fields = arrived(proxy, [("traceparent", value)] + [("tracestate", v) for v in values])
        assert fields.get("tracestate") == (values if passes else None), values
    assert "tracestate" not in arrived(proxy, [("tracestate", "foo=1")]), "without a traceparent it belongs to nothing"
    assert arrived(proxy, [("baggage", "user=7,k=v;p=1")])["baggage"] == ["user=7,k=v;p=1"]
    assert arrived(proxy, [("baggage", "%%%==;;")])["baggage"] == ["%%%==;;"], "passed on as it came"


def test_b3_goes_in_and_out_in_the_form_it_came(static, collector):
    proxy = static.proxy([static.server()], proxy=tracing(collector, samplePerMillion=0))
    trace, parent = ids()
    fields = arrived(proxy, [("b3", f"{trace}-{parent}-1-{secrets.token_hex(8)}")])
    _, own, _ = one(fields)
    assert fields["b3"] == [f"{trace}-{own}-1-{parent}"] and one(fields)[0] == trace and own != parent
    fields = arrived(proxy, [("X-B3-TraceId", trace), ("X-B3-SpanId", parent), ("X-B3-Sampled", "1")])
    assert fields["x-b3-traceid"] == [trace] and fields["x-b3-sampled"] == ["1"] and "b3" not in fields
    assert fields["x-b3-spanid"] == [one(fields)[1]] and fields["x-b3-parentspanid"] == [parent]
    fields = arrived(proxy, [("b3", "0")])
    assert fields["b3"][0].endswith("-0") and one(fields)[2] in "02"
    both = static.proxy([static.server("other")], proxy=tracing(collector, propagation=["b3", "b3multi"]))
    fields = arrived(both, [])
    assert fields["b3"][0].split("-")[0] == one(fields)[0] == fields["x-b3-traceid"][0]


def span_of(collector, request_id):
    return collector.wait(lambda span: span.attributes.get("apus.request_id") == request_id)[0]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_spans_say_what_happened(static, collector, protocol):
    server = static.server()
    proxy = static.proxy([server], routes=[rule()], proxy=tracing(
        collector, protocol, tags=[{"name": "tenant", "header": "x-tenant", "defaultValue": "none"},
                                   {"name": "where", "literal": "test"}]))
    trace, parent = ids()
    proxy.get("/status/404?secret=1", fields=[("traceparent", f"00-{trace}-{parent}-01"), ("x-request-id", "r1"),
                                              ("user-agent", "pytest"), ("x-tenant", "acme")])
    span = span_of(collector, "r1")
    assert (span.trace, span.parent, span.service, span.is_server) == (trace, parent, "client", False)
    assert span.span.name == "GET default/route/0"
    wanted = {"http.request.method": "GET", "http.response.status_code": 404, "url.path": "/status/404",
              "error.type": "404", "network.peer.address": "127.0.0.1", "network.peer.port": server.port,
              "network.protocol.version": "1.1", "user_agent.original": "pytest", "apus.route": "default/route/0",
              "apus.service": "default/server", "tenant": "acme", "where": "test", "server.address": "server",
              "url.full": "http://server/status/404", "apus.peer.workload": "server"}
    assert {name: span.attributes.get(name) for name in wanted} == wanted
    assert "secret" not in str(span.span), "queries carry secrets"
    assert span.span.status.code == 2 and span.span.end_time_unix_nano > span.span.start_time_unix_nano
    assert span.resource["service.namespace"] == "default" and span.resource["service.instance.id"] == "client"
    proxy.get("/", fields=[("x-request-id", "r2")])
    assert span_of(collector, "r2").attributes["tenant"] == "none" and span_of(collector, "r2").parent == ""
    assert all(fields["x-tenant"] == "t1" and fields["traceparent"].endswith("-00") for fields in collector.fields)


def test_refusals_and_tries_are_in_the_span(static, collector):
    failing = static.failing("failing", share=1.0)
    proxy = static.proxy([failing, static.server("well")], proxy=tracing(collector), policy={
        "retry": {"attempts": 3, "codes": [500], "backoffMilliseconds": 1}, "balancer": "roundRobin",
        "rateLimits": [{"name": "few", "requests": 1, "periodMilliseconds": 3_600_000, "burst": 8,
                        "source": "default/policy"}]})
    for number in range(8):
        assert proxy.get("/", fields=[("x-request-id", f"q{number}")]).status == 200
    spans = collector.wait(lambda span: span.events)
    tries = spans[0].events
    assert [name for name, _ in tries] == ["apus.attempt"] * 2
    assert tries[0][1]["http.response.status_code"] == 500 and tries[0][1]["network.peer.port"] == failing.port
    assert tries[1][1]["apus.attempt.number"] == 2 and "http.response.status_code" not in tries[1][1]
    assert spans[0].attributes["http.request.resend_count"] == 1
    assert proxy.get("/", fields=[("x-request-id", "over")]).status == 429
    span = span_of(collector, "over")
    assert span.attributes["apus.reason"] == "rate_limited" and span.attributes["apus.decided_by"] == "default/policy"
    assert span.attributes["error.type"] == "rate_limited" and span.span.status.message


def test_a_try_that_was_overtaken_is_in_the_span(static, collector):
    slow = static.failing("slow", delay_ms=1000)
    proxy = static.proxy([slow, static.server("fast")], proxy=tracing(collector), policy={
        "retry": {"hedgeDelayMilliseconds": 50}, "balancer": "roundRobin"})
    for number in range(4):
        assert proxy.get("/", fields=[("x-request-id", f"h{number}")]).header("x-server") == "fast"
    first, second = (fields for _, fields in collector.wait(lambda span: span.events)[0].events)
    assert first["network.peer.port"] == slow.port and first["apus.attempt.number"] == 1
    assert first["apus.attempt.milliseconds"] >= 50 and not {"error.type", "http.response.status_code"} & set(first)
    assert second["apus.attempt.number"] == 2 and second["network.peer.port"] != slow.port


def test_who_decides_what_is_sampled(static, collector):
    proxy = static.proxy([static.server()], proxy=tracing(collector, samplePerMillion=0, rules=[
        {"matches": [{"path": {"kind": "prefix", "value": "/headers/pay"}}], "samplePerMillion": 1_000_000}]))
    trace, parent = ids()
    for target, fields, flags in [
            ("/headers", [], 2), ("/headers/pay", [], 3), ("/headers", [("x-apus-trace", "1")], 3),
            ("/headers", [("x-apus-trace", "0")], 2), ("/headers/pay", [("traceparent", f"00-{trace}-{parent}-00")], 0),
            ("/headers", [("traceparent", f"00-{trace}-{parent}-01")], 1),
            ("/headers", [("traceparent", f"00-{trace}-{parent}-00"), ("x-apus-trace", "true")], 1)]:
        found = one(arrived(proxy, fields, target))
        assert int(found[2]) == flags, (target, fields)
    outside = static.proxy([static.server("app")], inbound={}, proxy=tracing(collector, samplePerMillion=0))
    assert one(arrived(outside, [("x-apus-trace", "1")]))[2] == "2", "who is not of the mesh does not decide"
    before = len(collector.spans)
    share = static.proxy([static.server("half")], proxy=tracing(collector, samplePerMillion=250_000))
    share.load("/", connections=2, requests=2000)
    raw.eventually(lambda: 350 < len(collector.spans) - before < 650)


def test_a_collector_that_fails_costs_nothing_but_spans(static, collector):
    collector.failing = 1
    proxy = static.proxy([static.server()], proxy=tracing(collector, "http"))
    assert proxy.get("/", fields=[("x-request-id", "late")]).status == 200
    assert span_of(collector, "late"), "sent again"
    collector.stop()
    result = proxy.load("/", connections=4, requests=3000)
    assert result["failed"] == 0

    def dropped():
        return re.search(r"apus_spans_dropped_total [1-9]", proxy.admin("/metrics"))
    raw.eventually(dropped, 20)
    raw.eventually(lambda: "telemetry does not reach" in proxy.program.output(), 20)


def telemetry(name, namespace, **spec):
    return {"apiVersion": "apus.dev/v1", "kind": "Telemetry", "metadata": {"name": name, "namespace": namespace},
            "spec": spec}


def relay(mesh, service, namespace):
    return mesh.run(service, sys.executable, os.path.join(APPS, "relay.py"), service, "--env", "{env}", namespace=namespace)


def test_three_hops_make_one_tree(mesh, namespace, collector):
    client = mesh.client(service="front", namespace=namespace)
    for service in ("a", "b", "c"):
        relay(mesh, service, namespace)
    mesh.apply(telemetry("traces", namespace, exporter={"endpoint": f"http://127.0.0.1:{collector.grpc_port}"},
                         tracing={"samplingPercentage": 0}), namespace=namespace)
    mesh.wait_for(client, "http://a/via/b/via/c/status/200")

    def sampled():
        answer = client.get("http://a/via/b/via/c/status/200", fields=[("x-apus-trace", "1")])
        assert answer.status == 200
        return {(span.service, span.is_server) for span in list(collector.spans)}
    # Every proxy has the setting once there are spans of both its sides.
    raw.eventually(lambda: len(sampled()) == 6, 20, 0.3)
    trace, parent = ids()
    fields = [("traceparent", f"00-{trace}-{parent}-01"), ("x-request-id", "whole-tree")]
    assert client.get("http://a/via/b/via/c/status/200", fields=fields).status == 200
    spans = collector.trace(trace, 6)
    assert len(spans) == 6, spans
    by_id = {span.id: span for span in spans}
    assert len(by_id) == 6
    way, above = [], parent
    while children := [span for span in spans if span.parent == above]:
        assert len(children) == 1, spans
        way.append((children[0].service, children[0].is_server))
        above = children[0].id
    assert way == [("front", False), ("a", True), ("a", False), ("b", True), ("b", False), ("c", True)]
    for span in spans:
        assert span.attributes["apus.request_id"] == "whole-tree" and span.attributes["apus.security"] == "mutual_tls"
        assert span.resource["service.namespace"] == namespace
    inbound = next(span for span in spans if span.service == "b" and span.is_server)
    assert inbound.attributes["apus.peer.principal"] == f"spiffe://cluster.local/ns/{namespace}/sa/a"


def test_spans_reach_a_collector_that_is_a_service_of_the_mesh(mesh, namespace, static):
    """The collector is behind a proxy itself: what goes to it goes by mTLS, and makes no spans of its own."""
    script = os.path.join(APPS, "collect.py")
    collector = mesh.run("collector", sys.executable, script, "--env", "{env}", namespace=namespace)
    server, client = mesh.quick_server(namespace=namespace), mesh.client(namespace=namespace)
    mesh.apply(telemetry("all", namespace, exporter={"endpoint": f"http://collector.{namespace}:80", "protocol": "HTTP"},
                         tracing={"samplingPercentage": 100}), namespace=namespace)
    mesh.wait_for(client, "http://server/")

    def seen():
        client.get("http://server/")
        return {tuple(pair) for pair in json.loads(raw.get(collector.app_port, "/seen").body)}
    raw.eventually(lambda: {("client", 3), ("server", 2)} <= seen(), 20, 0.3)
    assert not any(service == "collector" for service, _ in seen())
    assert server.program.is_running()


def test_what_is_wrong_with_a_telemetry_is_said_at_once(mesh, namespace):
    spec = telemetry("bad", namespace, selector={"matchLabels": {"app": "a"}}, targetRefs=[{"kind": "Service", "name": "a"}],
                     exporter={"endpoint": "collector:4317"},
                     tracing={"samplingPercentage": 101, "customTags": [{"name": "a"}], "propagation": ["Zipkin"]},
                     accessLogging=[{"format": "Text", "text": "%NOPE%"}, {"when": {"reasons": ["rate_limitted"]}},
                                    {"when": {"statuses": [404, "9xx"]}}])
    answer = mesh.cli("apply", "-n", namespace, "-f", "-", stdin=json.dumps(spec), check=False)
    assert answer.returncode != 0
    for part in ("spec.exporter.endpoint", "spec.tracing.samplingPercentage", "spec.tracing.customTags[0]",
                 "spec.tracing.propagation[0]", "spec.accessLogging[0].text", "spec.accessLogging[1].when.reasons[0]",
                 'did you mean "rate_limited"', "spec.accessLogging[2].when.statuses[1]"):
        assert part in answer.stderr + answer.stdout, (part, answer.stderr)


@pytest.mark.timeout(120)
def test_a_million_trace_ids_leave_memory_flat(static, collector):
    """A hundred thousand of them here: each request begins a trace of its own, and a tenth is recorded."""
    proxy = static.proxy([static.server()], proxy={**tracing(collector, samplePerMillion=100_000)})

    def resident():
        with open(f"/proc/{proxy.program.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    proxy.load("/", connections=8, requests=20_000)
    before = resident()
    proxy.load("/", connections=8, requests=80_000)
    assert resident() - before < 6_000, f"{resident() - before} kB more"
    accepted = raw.get(proxy.admin_port, "/metrics", [("Accept", "application/openmetrics-text")], host="localhost")
    assert accepted.body.count(b" # {trace_id=") < 64
