"""Proxies of others on either side of a sidecar: in front of one, as an ingress is, and behind one, as an application."""

import hashlib
import os
import re
import shutil
import subprocess

import pytest

from support import http2, raw
from support.others import PROGRAMS, Other

RETRIES_OFF = {"retry": {"attempts": 0}, "outlier": {"consecutive5xx": 0}}


@pytest.fixture(name="start")
def fixture_start(tmp_path):
    programs = []

    def start(name, target, **options):
        programs.append(Other(name, tmp_path, target, **options))
        return programs[-1]
    yield start
    for program in programs:
        program.kill()


def works(port, statuses=(204, 304, 404, 503)):
    """Requests of every shape, on connections that are kept and that are not."""
    body = os.urandom(300_000)
    with raw.Connection(port) as connection:
        for number in range(20):
            connection.request("GET", f"/bytes/{number * 7001}")
            assert len(connection.response().body) == number * 7001
        connection.request("POST", "/hash", body=body)
        assert hashlib.sha256(body).hexdigest().encode() in connection.response().body
        connection.request("HEAD", "/bytes/5000")
        assert connection.response("HEAD").header("content-length") == "5000"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:100_000], body[100_000:]))
        connection.request("POST", "/hash", [("Transfer-Encoding", "chunked")], chunks + b"0\r\n\r\n")
        assert hashlib.sha256(body).hexdigest().encode() in connection.response().body
        for status in statuses:
            connection.request("GET", f"/status/{status}")
            assert connection.response().status == status
    assert raw.get(port, fields=[("Connection", "close")]).status == 200


@pytest.mark.parametrize("version", ["http1", "http2"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_in_front_of_a_sidecar(static, start, name, version):
    proxy = static.proxy([static.server()], RETRIES_OFF)
    # Go's client of HTTP/2 takes a 304 for broken that says how long the answer would have been, which RFC 9110 (8.6) allows.
    statuses = (204, 404, 503) if (name, version) in (("caddy", "http2"), ("traefik", "http2")) else (204, 304, 404, 503)
    works(start(name, proxy.port, speaks=version == "http2").port, statuses)


@pytest.mark.parametrize("name", PROGRAMS)
def test_behind_a_sidecar(static, start, name):
    works(static.proxy([start(name, static.server().port)], RETRIES_OFF).port)


@pytest.mark.parametrize("name", PROGRAMS)
def test_behind_a_sidecar_with_http_2(static, start, name):
    proxy = static.proxy([start(name, static.server().port, listens=True)], RETRIES_OFF, protocol="http2")
    works(proxy.port)
    with http2.Client(proxy.port) as client:
        assert client.fetch("/bytes/50000").status == 200


def test_a_proxy_header_of_haproxy_is_not_believed(static, start):
    proxy = static.proxy([static.server()], RETRIES_OFF)
    for version in ("send-proxy", "send-proxy-v2"):
        assert raw.get(start("haproxy", proxy.port, speaks=version).port).status in (400, 502)


@pytest.mark.parametrize("attack", [("-H",), ("-B",), ("-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3")])
def test_slowhttptest_does_not_keep_others_out(static, tmp_path, attack):
    """Heads and bodies that are sent, and answers that are read, byte by byte by hundreds: its own probe says whether others
    are served."""
    proxy = static.proxy([static.server()], RETRIES_OFF)
    done = subprocess.run(
        [shutil.which("slowhttptest") or "/usr/bin/slowhttptest", *attack, "-c", "300", "-r", "100", "-i", "1", "-l", "8",
         "-p", "3", "-u", f"http://127.0.0.1:{proxy.port}/bytes/100000"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    said = re.findall(r"service available:\s*(YES|NO)", re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", done.stdout))
    assert said and set(said) == {"YES"}, done.stdout[-3000:]
    assert raw.get(proxy.port).status == 200
