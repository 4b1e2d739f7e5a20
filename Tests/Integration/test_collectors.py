"""Collectors beyond http and addresses: TLS that is verified, and names that are looked up, again when they change."""

import os
import re
import subprocess
import time

import pytest
import trustme

from support import raw
from support.collector import Collector
from support.processes import APPS


@pytest.fixture(name="authority", scope="module")
def fixture_authority(tmp_path_factory):
    authority = trustme.CA()
    authority.file = str(tmp_path_factory.mktemp("authority") / "ca.pem")
    authority.cert_pem.write_to_path(authority.file)
    return authority


@pytest.fixture(name="collector")
def fixture_collector(authority):
    found = Collector(authority.issue_cert("localhost", "127.0.0.1", "collector.test"))
    yield found
    found.stop()


def everything(collector, protocol, host="localhost", scheme="https", **more):
    """Traces, lines and metrics to one collector."""
    port = collector.grpc_port if protocol == "grpc" else collector.http_port
    exporter = {"endpoint": f"{scheme}://{host}:{port}", "protocol": protocol, **more}
    return {"telemetry": {"tracing": {"samplePerMillion": 1_000_000, "exporter": exporter}, "decidesAccessLogs": True,
                          "accessLogs": [{"exporter": exporter}],
                          "metrics": {"exporter": exporter, "intervalMilliseconds": 1000}}}


def counted(proxy, name, **labels):
    """A counter of the proxy; nothing: it is not there yet."""
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = re.search(rf"^{name}(?:\{{{wanted}\}})? (\d+)", proxy.admin("/metrics"), re.M)
    return found and int(found[1])


def arrives(proxy, collector):
    """Spans, lines and metrics of requests made now reach the collector."""
    before = len(collector.spans), len(collector.records), len(collector.metrics)

    def more():
        proxy.get("/")
        return all(now > then for now, then in zip(
            (len(collector.spans), len(collector.records), len(collector.metrics)), before))
    raw.eventually(more, 60, 0.2)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_everything_reaches_a_collector_by_tls(static, collector, authority, protocol, host):
    proxy = static.proxy([static.server()], proxy=everything(collector, protocol, host, caFile=authority.file))
    arrives(proxy, collector)
    assert counted(proxy, "apus_export_failures_total", signal="spans") == 0


def test_what_lets_a_proxy_in_at_its_collector_is_on_no_page(static, collector, authority):
    proxy = static.proxy([static.server()], proxy=everything(collector, "http", caFile=authority.file,
                                                             headers={"authorization": "Bearer hush-hush"}))
    arrives(proxy, collector)
    page = proxy.admin("/config_dump")
    assert page.count("[redacted]") == 3 and "hush-hush" not in page


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_systems_authorities_count_where_no_file_is_named(static, collector, authority, protocol):
    proxy = static.proxy([static.server()], proxy=everything(collector, protocol),
                         environment={"SSL_CERT_FILE": authority.file})
    arrives(proxy, collector)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("fault", ["another authority", "another name", "no file", "no certificates"])
def test_a_collector_that_cannot_be_verified_gets_nothing(static, tmp_path, authority, protocol, fault):
    leaf = authority.issue_cert("elsewhere.test" if fault == "another name" else "localhost")
    collector, file = Collector(leaf), authority.file
    if fault != "another name":
        file = str(tmp_path / "other.pem")
        if fault == "another authority":
            trustme.CA().cert_pem.write_to_path(file)
        elif fault == "no certificates":
            (tmp_path / "other.pem").write_text("nothing\n")
    proxy = static.proxy([static.server()], proxy=everything(collector, protocol, caFile=file))
    assert all(proxy.get("/").status == 200 for _ in range(20))
    raw.eventually(lambda: counted(proxy, "apus_export_failures_total", signal="spans"), 60)
    wanted = {"another authority": "tls_unknown_authority", "another name": "tls_identity_mismatch",
              "no file": "other.pem", "no certificates": "has no certificate of an authority"}[fault]
    raw.eventually(lambda: "telemetry does not reach" in proxy.program.output(), 60)
    assert wanted in proxy.program.output()
    assert not collector.requests
    collector.stop()


@pytest.fixture(name="hosts")
def fixture_hosts(tmp_path):
    """The names that proxies find, and the environment in which they do."""
    library, file = str(tmp_path / "hosts.so"), tmp_path / "hosts"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, os.path.join(APPS, "hosts.c"), "-ldl"], check=True)
    file.write_text("")
    return file, {"LD_PRELOAD": library, "HOSTS_FILE": str(file)}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_name_is_looked_up_again_when_it_changes(static, collector, authority, hosts, protocol):
    """At first nobody has it, then one collector, then, while that is still there, another one."""
    file, environment = hosts
    proxy = static.proxy([static.server()], environment=environment,
                         proxy=everything(collector, protocol, "collector.test", caFile=authority.file))
    assert proxy.get("/").status == 200
    raw.eventually(lambda: counted(proxy, "apus_name_lookups_total", result="failed"), 60)
    raw.eventually(lambda: "collector.test cannot be looked up" in proxy.program.output(), 60)
    file.write_text("collector.test 127.0.0.1\n")
    arrives(proxy, collector)
    assert counted(proxy, "apus_name_lookups_total", result="answered") >= 1
    other = Collector(authority.issue_cert("collector.test"), "127.0.0.2",
                      {"grpc": collector.grpc_port, "http": collector.http_port})
    file.write_text("collector.test 127.0.0.2\n")
    arrives(proxy, other)
    other.stop()


def test_a_resolver_that_does_not_answer_holds_nothing_up(static, collector, hosts):
    file, environment = hosts
    file.write_text("collector.test 30\n")
    proxy = static.proxy([static.server()], environment=environment, proxy=everything(collector, "grpc", "collector.test",
                                                                                      "http", timeoutMilliseconds=500))
    begun = time.monotonic()
    raw.eventually(lambda: proxy.get("/").status == 200 and counted(proxy, "apus_export_failures_total", signal="spans"), 25)
    assert time.monotonic() - begun < 30, "while the first question is still open"
    threads = os.listdir(f"/proc/{proxy.program.pid}/task")
    assert len(threads) <= 2 + 4, "no more questions than may be open at a time"
