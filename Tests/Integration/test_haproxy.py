"""HAProxy on either side of a sidecar: in front of one, as an ingress is, and behind one, as an application."""

import hashlib
import os
import shutil

import pytest

from support import http2, raw
from support.processes import Program, free_port

PROGRAM = shutil.which("haproxy") or "/usr/sbin/haproxy"
CONFIGURATION = """
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} {listens}
  default_backend back
backend back
  http-reuse always
  server s 127.0.0.1:{target} {speaks}
"""


@pytest.fixture(name="haproxy")
def fixture_haproxy(tmp_path):
    programs = []

    def start(target, listens="", speaks=""):
        port = free_port()
        file = tmp_path / f"haproxy-{port}.cfg"
        file.write_text(CONFIGURATION.format(port=port, target=target, listens=listens, speaks=speaks))
        programs.append(Program([PROGRAM, "-db", "-f", str(file)], str(tmp_path / f"haproxy-{port}.log"), dict(os.environ)))
        raw.eventually(lambda: raw.Connection(port).socket.close() is None)
        return port
    yield start
    for program in programs:
        program.kill()


class Behind:
    """A port as an endpoint of `default/server`."""

    def __init__(self, port):
        self.port, self.name = port, "haproxy"

    def workload(self, **more):
        return {"uid": self.name, "namespace": "default", "name": self.name, "address": "127.0.0.1", "app": "server",
                "services": ["default/server"],
                "ports": [{"appPort": self.port, "appProtocol": "http", "name": "http"}], **more}


def works(port):
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
        for status in (204, 304, 404, 503):
            connection.request("GET", f"/status/{status}")
            assert connection.response().status == status
    assert raw.get(port, fields=[("Connection", "close")]).status == 200


RETRIES_OFF = {"retry": {"attempts": 0}, "outlier": {"consecutive5xx": 0}}


def test_in_front_of_a_sidecar(static, haproxy):
    proxy = static.proxy([static.server()], RETRIES_OFF)
    works(haproxy(proxy.port))


def test_in_front_of_a_sidecar_with_http_2(static, haproxy):
    proxy = static.proxy([static.server()], RETRIES_OFF)
    works(haproxy(proxy.port, speaks="proto h2"))


def test_behind_a_sidecar(static, haproxy):
    works(static.proxy([Behind(haproxy(static.server().port))], RETRIES_OFF).port)


def test_behind_a_sidecar_with_http_2(static, haproxy):
    port = haproxy(static.server().port, listens="proto h2")
    proxy = static.proxy([Behind(port)], RETRIES_OFF, protocol="http2")
    works(proxy.port)
    with http2.Client(proxy.port) as client:
        assert client.fetch("/bytes/50000").status == 200


def test_its_proxy_header_is_not_believed(static, haproxy):
    proxy = static.proxy([static.server()], RETRIES_OFF)
    for version in ("send-proxy", "send-proxy-v2"):
        assert raw.get(haproxy(proxy.port, speaks=version)).status in (400, 502)
