"""Access logs in configured formats, their conditions and places; metrics that are pushed; exemplars."""

import json
import re
import subprocess
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from support import raw
from support.collector import Collector, attributes
from support.static import rule


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.stop()


def logging(*logs):
    return {"telemetry": {"decidesAccessLogs": True, "accessLogs": list(logs)}}


def exporter(collector, protocol="grpc"):
    port = collector.grpc_port if protocol == "grpc" else collector.http_port
    return {"endpoint": f"http://127.0.0.1:{port}", "protocol": protocol}


def lines(proxy, count=1, start=""):
    """The lines of the log once there are so many that begin so; the proxy's own log is among them."""
    def found():
        all_lines = [line for line in proxy.program.output().splitlines()
                     if line.startswith(start) and " info " not in line and " warning " not in line]
        return all_lines if len(all_lines) >= count else None
    return raw.eventually(found)


# Envoy's default format, character by character.
ENVOY = ('[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
         '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" '
         '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n')
ENVOY_LINE = re.compile(
    r'^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] "(\S+) (\S+) (\S+)" (\d+) (\S+) (\d+) (\d+) (\d+) (\S+) "([^"]*)" "([^"]*)" '
    r'"([^"]*)" "([^"]*)" "([^"]*)"$')


def test_envoys_default_format_has_its_meaning(static):
    server = static.server()
    proxy = static.proxy([server], routes=[rule()], proxy=logging({"text": ENVOY}))
    proxy.get("/delay/30?q=1", method="POST", body=b"12345", host="shop.example:80",
              fields=[("user-agent", "py\"test"), ("x-forwarded-for", "10.1.2.3"), ("x-request-id", "id-1")])
    found = ENVOY_LINE.match(lines(proxy, start="[")[0])
    assert found, lines(proxy, start="[")
    (_, method, path, protocol, code, flags, received, sent, duration, service, forwarded, agent, request_id, authority,
     host) = found.groups()
    assert (method, path, protocol, code, flags) == ("POST", "/delay/30?q=1", "HTTP/1.1", "200", "-")
    assert (received, sent) == ("5", "7") and 30 <= int(service) <= int(duration) < 5000
    assert (forwarded, agent, request_id) == ("10.1.2.3", r"py\x22test", "id-1")
    assert (authority, host) == ("shop.example:80", f"127.0.0.1:{server.port}")


def test_a_user_agent_that_comes_by_http_2_is_logged_and_matched(static):
    chosen = {**rule(index=1), "matches": [{"headers": [{"name": "user-agent", "value": "probe"}]}]}
    proxy = static.proxy([static.server()], routes=[rule(), chosen], proxy=logging(
        {"text": "agent %REQ(USER-AGENT)% %ROUTE_NAME% %PROTOCOL%"}))
    for agent in ("probe", "other"):
        done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--max-time", "20", "-A", agent,
                               f"http://127.0.0.1:{proxy.port}/"], capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
    assert [line.split()[1:] for line in lines(proxy, 2, "agent")] == [
        ["probe", "default/route/1", "HTTP/2"], ["other", "default/route/0", "HTTP/2"]]


def test_fields_of_json_and_of_answers(static):
    proxy = static.proxy([static.server()], routes=[rule()], proxy=logging({"fields": [
        {"name": "status", "value": "%RESPONSE_CODE%"}, {"name": "server", "value": "%RESP(X-SERVER)%"},
        {"name": "user", "value": "%REQ(X-USER):4%"}, {"name": "line", "value": "%REQ(:METHOD)% %REQ(:PATH)%"},
        {"name": "trace", "value": "%TRACE_ID%"}, {"name": "none", "value": "%REQ(X-NONE)%"},
        {"name": "route", "value": "%ROUTE_NAME%"}, {"name": "why", "value": "%ERROR_REASON%"}]}))
    trace = "0af7651916cd43dd8448eb211c80319c"
    proxy.get("/status/418", fields=[("x-user", "abcdefgh"), ("traceparent", f"00-{trace}-b7ad6b7169203331-00")])
    assert json.loads(lines(proxy, start="{")[0]) == {
        "status": 418, "server": "server", "user": "abcd", "line": "GET /status/418", "trace": trace, "none": None,
        "route": "default/route/0", "why": None}


def test_conditions_choose_what_is_told(static):
    proxy = static.proxy([static.server()], proxy=logging(
        {"text": "failed %REQ(:PATH)%", "condition": {"statuses": [500, 599, 404, 404]}},
        {"text": "slow %REQ(:PATH)%", "condition": {"slowerThanMilliseconds": 100}},
        {"text": "mesh %REQ(:PATH)% %ERROR_REASON%", "condition": {"anyReason": True}},
        {"text": "some %REQ(:PATH)%", "condition": {"statuses": [500, 599], "sharePerMillion": 200_000}}),
        policy={"rateLimits": [{"name": "few", "requests": 1, "periodMilliseconds": 3_600_000, "burst": 105,
                                "source": "default/policy"}]})
    for target in ("/status/404", "/status/403", "/status/503", "/delay/150", "/"):
        proxy.get(target)
    for _ in range(100):
        proxy.get("/share")
    assert proxy.get("/over").status == 429
    # One worker: its lines stand in the order of the requests, so that with the last one all are there.
    lines(proxy, start="mesh")
    text = proxy.program.output()
    assert re.findall(r"^failed (.*)$", text, re.M) == ["/status/404", "/status/503"]
    assert re.findall(r"^slow (.*)$", text, re.M) == ["/delay/150"]
    assert re.findall(r"^mesh (.*)$", text, re.M) == ["/over rate_limited"]
    assert "some /status/503" in text
    assert 5 <= len(re.findall(r"^some /share$", text, re.M)) <= 40


def test_nothing_in_a_request_breaks_a_line(static):
    proxy = static.proxy([static.server()], proxy=logging(
        {"text": "T %REQ(:PATH)% \"%REQ(X-EVIL)%\" %REQ(USER-AGENT)%"},
        {"fields": [{"name": "evil", "value": "%REQ(X-EVIL)%"}, {"name": "path", "value": "<%REQ(:PATH)%>"}]}))
    evil = ['a" 200 - "forged', "tab\there", "back\\slash", "latin-\xe9\xff", "\xc2\x85line", "\xe2\x80\xa8sep", "{}[],:", "x" * 3000]
    for value in evil:
        assert proxy.get("/%0a%22{}", fields=[("x-evil", value), ("user-agent", value)]).status == 200
    text = lines(proxy, 2 * len(evil))
    assert len([line for line in text if line.startswith("T ")]) == len(evil)
    objects = [json.loads(line) for line in text if line.startswith("{")]
    assert len(objects) == len(evil) and all(set(found) == {"evil", "path"} for found in objects)
    assert objects[0]["evil"] == evil[0] and len(text) == 2 * len(evil)
    assert all(line.count('"') == 2 for line in text if line.startswith("T "))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_lines_reach_a_collector(static, collector, protocol):
    proxy = static.proxy([static.server()], proxy=logging(
        {"exporter": exporter(collector, protocol)}, {"exporter": exporter(collector, protocol), "text": "%REQ(:PATH)%"}))
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    proxy.get("/status/503?a=\"", fields=[("traceparent", f"00-{trace}-{span}-01"), ("user-agent", "ü\n".strip())])
    def both():
        found = list(collector.records)
        return [next((f for f in found if bool(f[1].attributes) == wanted), None) for wanted in (True, False)]
    raw.eventually(lambda: None not in both())
    (_, record), (resource, text) = both()
    fields = attributes(record)
    assert fields["response_code"] == 503 and fields["path"] == "/status/503?a=\"" and fields["method"] == "GET"
    assert record.trace_id.hex() == trace and record.severity_number == 17 and record.body.string_value == "access"
    assert abs(record.time_unix_nano / 1e9 - time.time()) < 60
    assert text.body.string_value == "/status/503?a=\\x22" and resource["service.name"] == "client"
    assert not any(line.startswith("{") for line in proxy.program.output().splitlines()), "nothing on standard output"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_metrics_are_pushed_under_opentelemetrys_names(static, collector, protocol):
    proxy = static.proxy([static.server()], proxy={"telemetry": {"metrics": {
        "exporter": exporter(collector, protocol), "intervalMilliseconds": 1000}}})
    for number in range(20):
        proxy.get("/status/404" if number % 4 == 0 else "/")

    def counted():
        points = {}
        for _, metric in list(collector.metrics):
            if metric.name == "http.client.request.duration":
                assert metric.unit == "s" and metric.histogram.aggregation_temporality == 2
                for point in metric.histogram.data_points:
                    assert attributes(point)["http.request.method"] == "GET"
                    points[attributes(point)["http.response.status_code"]] = point
        return points if {code: point.count for code, point in points.items()} == {200: 15, 404: 5} else None
    points = raw.eventually(counted, 15)
    for point in points.values():
        assert sum(point.bucket_counts) == point.count and len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert 0 < point.sum < 20 and point.explicit_bounds[0] == 0.0005 and list(point.explicit_bounds) == sorted(point.explicit_bounds)
        assert point.start_time_unix_nano < point.time_unix_nano
    wanted = {"http.client.request.body.size", "http.client.response.body.size", "apus.downstream_connections_opened"}
    # A push may come in several requests.
    raw.eventually(lambda: wanted <= {metric.name for _, metric in list(collector.metrics)}, 15)


def test_connections_of_bytes_are_pushed_while_they_are_open(static, collector):
    proxy = static.proxy([static.server()], protocol="tcp", proxy={"telemetry": {"metrics": {
        "exporter": exporter(collector), "intervalMilliseconds": 1000}}})
    request = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n"
    with raw.Connection(proxy.port) as connection:
        connection.send(request)
        connection.response()

        def pushed():
            found = {}
            for _, metric in list(collector.metrics):
                if metric.name.startswith("apus.tcp."):
                    assert metric.sum.aggregation_temporality == 2 and metric.sum.is_monotonic
                    assert all(attributes(point)["apus.reporter"] == "source" for point in metric.sum.data_points)
                    # Of the last push: that the port is open was tried with a connection, too.
                    found[metric.name] = sum(point.as_int for point in metric.sum.data_points)
            return found if found.get("apus.tcp.received") == len(request) else None
        # The connection is open, and what has passed is told.
        found = raw.eventually(pushed, 60)
        assert found["apus.tcp.connections.opened"] - found["apus.tcp.connections.closed"] == 1
        assert found["apus.tcp.sent"] > len(request)


def test_exemplars_where_they_are_asked_for(static, collector):
    proxy = static.proxy([static.server()], proxy={"telemetry": {"tracing": {
        "samplePerMillion": 1_000_000, "exporter": exporter(collector)}}})
    trace = "0af7651916cd43dd8448eb211c80319c"
    proxy.get("/", fields=[("traceparent", f"00-{trace}-b7ad6b7169203331-01")])
    proxy.get("/delay/60", fields=[("traceparent", f"00-{trace[::-1]}-b7ad6b7169203331-01")])
    answer = raw.get(proxy.admin_port, "/metrics", [("Accept", "application/openmetrics-text; version=1.0.0")], host="localhost")
    family = next(family for family in openmetrics(answer.body.decode()) if family.name == "istio_request_duration_milliseconds")
    found = {sample.exemplar.labels["trace_id"]: (sample.exemplar, sample) for sample in family.samples if sample.exemplar}
    assert set(found) == {trace, trace[::-1]}
    for exemplar, sample in found.values():
        assert exemplar.value <= float(sample.labels["le"]) and abs(float(exemplar.timestamp) - time.time()) < 60
        assert any(span.id == exemplar.labels["span_id"]
                   for span in collector.wait(lambda span, wanted=exemplar: span.id == wanted.labels["span_id"]))
    assert found[trace[::-1]][0].value >= 60
    plain = raw.get(proxy.admin_port, "/metrics", host="localhost").body.decode()
    assert "# {" not in plain and list(prometheus(plain))


def test_a_telemetry_changes_the_log_while_traffic_runs(mesh, namespace, collector):
    mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")

    def telemetry(name, **spec):
        return {"apiVersion": "apus.dev/v1", "kind": "Telemetry", "metadata": {"name": name, "namespace": namespace},
                "spec": spec}
    mesh.apply(telemetry("wide", exporter={"endpoint": f"http://127.0.0.1:{collector.http_port}", "protocol": "HTTP"},
                         accessLogging=[{"format": "Text", "text": "WIDE %REQ(:PATH)%"}]),
               telemetry("narrow", selector={"matchLabels": {"app": "client"}},
                         accessLogging=[{"destination": "OTLP", "json": {"p": "%REQ(:PATH)%"}}]))
    with client.load("http://server/", rate=50):
        raw.eventually(lambda: any(attributes(record) == {"p": "/"} for _, record in list(collector.records)), 15)
        assert "WIDE" not in client.sidecar_log(), "the narrower object decides"
        mesh.cli("delete", "telemetry", "narrow", "-n", namespace)
        raw.eventually(lambda: "WIDE /" in client.sidecar_log(), 15)
        mesh.apply(telemetry("wide", accessLogging=[{"disabled": True}]))

        def silent():
            before = client.sidecar_log().count("WIDE")
            mesh.pause(0.4)
            return client.sidecar_log().count("WIDE") == before
        raw.eventually(silent, 15)
