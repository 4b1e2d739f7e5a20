"""The files in `deploy/`: taken by Debian's Prometheus, scraping a mesh for real."""

import json
import os
import shutil
import subprocess
import sys
import urllib.parse

import grpc
import pytest

from support import interop, raw
from support.interop import fails, simple_request
from support.mesh import policy
from support.processes import APPS, TOP, Program, free_port

FOLDER = os.path.join(TOP, "deploy", "prometheus")


GAUGES = ["apus_requests_active", "apus_requests_pending", "apus_upstream_connections_idle", "apus_service_retry_budget",
          "apus_service_under_way", "apus_loop_turn_seconds", "process_resident_memory_bytes", "apus_series_dropped_total",
          "apus_request_series", "apus_certificate_expiry_seconds"]

# As Flagger asks for Istio, and as Istio's dashboards do (mesh, service, workload), with what must come of them.
OWN = 'destination_service_namespace="NAMESPACE"'
FLAGGER = 'reporter="destination",destination_workload_namespace="NAMESPACE",destination_workload=~"server.*"'
QUERIES = [
    (f'sum(rate(istio_requests_total{{{FLAGGER},response_code!~"5.*"}}[10s])) / '
     f'sum(rate(istio_requests_total{{{FLAGGER}}}[10s])) * 100', 65, 85),
    (f'histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{{{FLAGGER}}}[10s])) by (le))', 20, 500),
    (f'round(sum(irate(istio_requests_total{{reporter="source",{OWN}}}[10s])), 0.001)', 20, 60),
    (f'sum(irate(istio_requests_total{{reporter="source",response_code!~"5.*",{OWN}}}[10s])) / '
     f'sum(irate(istio_requests_total{{reporter="source",{OWN}}}[10s]))', 0.6, 0.9),
    (f'label_join(sum(rate(istio_requests_total{{reporter="source",response_code="200",{OWN}}}[10s])) by '
     '(destination_workload, destination_workload_namespace, destination_service), "destination_workload_var", ".", '
     '"destination_workload", "destination_workload_namespace")', 20, 45),
    (f'label_join(histogram_quantile(0.50, sum(rate(istio_request_duration_milliseconds_bucket{{reporter="source",{OWN}}}[10s])) '
     'by (le, destination_workload, destination_workload_namespace)) / 1000, "destination_workload_var", ".", '
     '"destination_workload", "destination_workload_namespace")', 0.005, 0.2),
    (f'sum(irate(istio_requests_total{{connection_security_policy="mutual_tls",reporter="destination",{OWN},'
     'source_workload="client",response_code=~"200|500"}[10s])) by (source_workload, source_workload_namespace, response_code)', 4, 45),
    (f'histogram_quantile(0.95, sum(irate(istio_response_bytes_bucket{{reporter="destination",{OWN}}}[10s])) by (le))', 1, 1000),
    (f'sum(istio_requests_total{{reporter="destination",{OWN},destination_canonical_service="server",'
     'source_principal="spiffe://cluster.local/ns/NAMESPACE/sa/client"})', 20, 100_000),
]


# The panels of Istio's dashboards, one of each shape: of a service by its clients and by its workloads, of a workload by
# what it calls, each with and without mutual TLS, every quantile; HTTP here, and bytes of TCP connections below.
SERVICE = 'destination_service=~"server.NAMESPACE.svc.cluster.local"'
CLIENTS = 'source_workload=~"client.*",source_workload_namespace=~"NAMESPACE"'
SERVERS = 'destination_workload=~"server.*",destination_workload_namespace=~"NAMESPACE"'
ENDS = {  # what is chosen, and what is told apart
    "clients": (f'reporter=~"destination",connection_security_policy="mutual_tls",{SERVICE},{CLIENTS}',
                "source_workload, source_workload_namespace"),
    "servers": (f'reporter="destination",connection_security_policy="mutual_tls",{SERVICE},{SERVERS}',
                "destination_workload, destination_workload_namespace"),
    "called": (f'reporter="source",connection_security_policy!="mutual_tls",{CLIENTS},{SERVICE}', "destination_service"),
}
HISTOGRAMS = {"istio_request_duration_milliseconds": (1, 500), "istio_request_bytes": (0, 1), "istio_response_bytes": (1, 1000)}
PANELS = [
    (f'histogram_quantile({quantile}, sum(irate({name}_bucket{{{chosen}}}[10s])) by ({ends}, le))', *within)
    for chosen, ends in ENDS.values() for name, within in HISTOGRAMS.items() for quantile in ("0.50", "0.90", "0.95", "0.99")
] + [
    (f'round(sum(irate(istio_requests_total{{{chosen},response_code=~"200|500"}}[10s])) by ({ends}, response_code), 0.001)', 4, 45)
    for chosen, ends in ENDS.values()
] + [
    (f'sum(irate(istio_requests_total{{{chosen},response_code!~"5.*"}}[10s])) by ({ends}) / '
     f'sum(irate(istio_requests_total{{{chosen}}}[10s])) by ({ends})', 0.6, 0.9) for chosen, ends in ENDS.values()
] + [
    (f'sum(irate(istio_requests_total{{destination_principal=~"spiffe.*",{CLIENTS},reporter="source",{SERVICE},response_code!="404"}}[10s])) '
     'by (destination_service, response_code)', 4, 45),
    ('round(sum(rate(istio_requests_total{reporter=~"source|waypoint",response_code=~"5..",'
     'destination_service_namespace="NAMESPACE"}[10s])), 0.01) or vector(0)', 5, 15),
    # The lists that the dashboards offer.
    (f'count(sum(istio_requests_total{{reporter="destination",{SERVICE}}}) by (destination_workload_namespace) or '
     f'sum(istio_tcp_sent_bytes_total{{reporter="destination",{SERVICE}}}) by (destination_workload_namespace))', 1, 1),
    ('sum by (component, tag) (istio_build)', 1, 1000),
]
TCP = 'destination_service=~"bytes.*",destination_service_namespace="NAMESPACE"'
TCP_PANELS = [
    (f'round(sum(irate(istio_tcp_{way}_bytes_total{{reporter="{reporter}",connection_security_policy{policy}"mutual_tls",{TCP}}}'
     f'[10s])) by ({ends}), 0.001)', 1000, 10_000_000)
    for way in ("sent", "received") for reporter, policy, ends in (
        ("destination", "=", "source_workload, source_workload_namespace"), ("source", "!=", "destination_service"))
]


CALLED = 'reporter="destination",destination_workload_namespace="NAMESPACE",destination_workload="calls"'


def answers(stub):
    """The application may not listen yet."""
    try:
        return stub.unary("EmptyCall") is not None
    except grpc.RpcError:
        return False


def query_sum(query, text):
    return sum(float(row["value"][1]) for row in query(text))


@pytest.fixture(name="files")
def fixture_files(mesh, tmp_path):
    """The files as an operator would set them up: the token's place, the API's address, a quicker interval."""
    for name in os.listdir(FOLDER):
        shutil.copy(os.path.join(FOLDER, name), tmp_path)
    config = tmp_path / "prometheus.yml"
    text = config.read_text().replace("127.0.0.1:15050", f"127.0.0.1:{mesh.api_port}").replace("15s", "1s")
    config.write_text(text.replace("credentials_file: api-token", f"credentials_file: {mesh.data}/api-token"))
    rules = tmp_path / "recording-rules.yml"
    rules.write_text(rules.read_text().replace("15s", "1s"))
    return tmp_path


def test_the_files_are_sound(files):
    assert "SUCCESS" in subprocess.run(["promtool", "check", "config", str(files / "prometheus.yml")], check=True,
                                       capture_output=True, text=True).stdout


def test_prometheus_finds_the_proxies_and_the_numbers_are_right(files, mesh, namespace):
    server = mesh.server(version="v1", namespace=namespace)
    # Elsewhere, so that the queries that ask for a namespace are about HTTP only.
    apart = f"{namespace[:50]}-grpc"
    mesh.run("calls", sys.executable, os.path.join(APPS, "interop.py"), namespace=apart, protocol="grpc", wait=False)
    port, calls = free_port(), free_port()
    # Connections of bytes have a namespace of their own for the same reason.
    aside = f"{namespace[:50]}-tcp"
    mesh.run("bytes", sys.executable, os.path.join(APPS, "tcp_echo.py"), "{env}", namespace=aside, protocol="tcp")
    echo = free_port()
    client = mesh.client(namespace=namespace, upstreams={f"calls.{apart}": calls, f"bytes.{aside}": echo})
    mesh.apply(policy("calls", apart, retry={"attempts": 0}, outlierDetection={"consecutive5xx": 0}))
    mesh.wait_for(client, "http://server/")
    prometheus = Program(
        ["prometheus", f"--config.file={files}/prometheus.yml", f"--storage.tsdb.path={files}/data",
         f"--web.listen-address=127.0.0.1:{port}"], str(files / "prometheus.log"), dict(os.environ))
    try:
        def query(text):
            answer = raw.get(port, "/api/v1/query?query=" + urllib.parse.quote(text), host="localhost")
            assert answer.status == 200, answer
            return json.loads(answer.body)["data"]["result"]
        raw.eventually(lambda: len(query(f'up{{namespace="{namespace}"}} == 1')) == 2, 60, 0.5)
        # The sum of a counter is exact, whatever the scrapes' times.
        select = f'{{reporter="destination",destination_service_namespace="{namespace}",response_code="404"}}'
        for _ in range(12):
            client.get("http://server/status/404")
        raw.eventually(lambda: [float(row["value"][1]) for row in query(f"sum(istio_requests_total{select})")] == [12.0], 30, 0.5)
        raw.eventually(lambda: query(f'response_total{{namespace="{namespace}",status_code="404"}}'), 30, 0.5)
        with interop.Stub(calls) as stub:
            raw.eventually(lambda: answers(stub), 60)
            # What was asked before the application listened has been counted, too.
            called = 'istio_requests_total{' + CALLED.replace("NAMESPACE", apart)
            raw.eventually(lambda: query_sum(query, called + ',grpc_response_status="0"}') == 1, 60, 0.5)
            early = query_sum(query, called + ',grpc_response_status="14"}')
            for status in [status for status in grpc.StatusCode if status != grpc.StatusCode.OK]:
                fails(status, lambda: stub.unary("UnaryCall", simple_request(code=status.value[0], message="no")))
        # The five that tell of the server are failures; eleven others, and what went well, are none.
        own = f'namespace="{apart}",deployment="calls"'
        raw.eventually(lambda: query_sum(query, f'response_total{{{own},classification="failure"}}') == 5 + early, 60, 0.5)
        raw.eventually(lambda: query_sum(
            query, f'response_total{{{own},classification="success",grpc_status!="0"}}') == 11, 60, 0.5)
        assert query_sum(query, f'response_total{{{own},classification="failure",grpc_status="14"}}') == 1 + early
        shares = f'destination_service_namespace="{apart}",destination_service_name="calls"'
        with interop.Stub(calls) as stub:
            def burns(rule):
                # A rate needs a series that has grown.
                fails(grpc.StatusCode.UNAVAILABLE, lambda: stub.unary("UnaryCall", simple_request(code=14, message="no")))
                return query_sum(query, f"{rule}{{{shares}}}") > 0
            for rule in ("apus:failures:rate1m", "apus:failure_share:5m", "apus:failure_share:6h"):
                raw.eventually(lambda: burns(rule), 60, 0.5)
        assert float(query(f'min(apus_certificate_expiry_seconds{{namespace="{namespace}"}} - time())')[0]["value"][1]) > 0
        assert query(f'apus_loop_turn_seconds{{namespace="{namespace}"}}')
        assert query(f'apus_service_limit{{destination_service_namespace="{namespace}",kind="requests"}}')
        for gauge in GAUGES:
            assert query(f'{gauge}{{namespace="{namespace}"}}'), gauge
        # One request in four fails, for as long as the queries' window is.
        with client.load("http://server/status/500", rate=10, connections=2), \
                client.load("http://server/delay/20", rate=30, connections=4):
            def within(text, least, most):
                rows = query(text.replace("NAMESPACE", namespace))
                assert rows, text
                return all(least <= float(row["value"][1]) <= most for row in rows) and rows
            for text, least, most in QUERIES + PANELS:
                raw.eventually(lambda: within(text, least, most), 40, 0.5)
        with raw.Connection(echo) as connection:
            def flows(text, least, most):
                for _ in range(20):
                    connection.send(b"x" * 5000)
                    assert len(connection._exactly(5000)) == 5000
                rows = query(text.replace("NAMESPACE", aside))
                assert rows, text
                return all(least <= float(row["value"][1]) <= most for row in rows)
            for text, least, most in TCP_PANELS:
                raw.eventually(lambda: flows(text, least, most), 40, 0.5)
    finally:
        prometheus.stop()
    assert server.program.is_running()
