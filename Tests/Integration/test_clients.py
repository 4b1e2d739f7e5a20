"""Programs that people use, through two sidecars: curl, nghttp, h2load, nginx."""

import os
import re
import subprocess
import sys

import pytest

from support import raw
from support.processes import APPS, Program, free_port
from support.sidecars import Pair


def run(*command, seconds=60):
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """nginx as an application that speaks HTTP/2 in cleartext, behind two sidecars."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    (folder / "page").write_bytes(b"x" * 100_000)
    os.chmod(folder, 0o755)
    (folder / "conf").write_text(
        f"daemon off; pid {folder}/pid; events {{ }}\n"
        f"http {{ access_log off; keepalive_requests 100000; client_body_temp_path {folder}; proxy_temp_path {folder};\n"
        f"fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n"
        f"server {{ listen 127.0.0.1:{port} http2; root {folder}; location = / {{ return 200 'nginx says hello\\n'; }}\n"
        "location = /protocol { return 200 '$server_protocol\\n'; } } }\n")
    for path in folder.parents:
        if str(path) != "/" and os.stat(path).st_uid == os.getuid() and not os.stat(path).st_mode & 1:
            os.chmod(path, os.stat(path).st_mode | 0o11)
    program = Program(["nginx", "-e", str(folder / "errors"), "-c", str(folder / "conf")], str(folder / "log"))
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    with Pair(folder, port, "http2") as pair:
        yield pair
    program.stop()


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """An application that speaks HTTP/1.1, behind two sidecars."""
    folder, port = tmp_path_factory.mktemp("ordinary"), free_port()
    program = Program([sys.executable, os.path.join(APPS, "server.py"), "server"], str(folder / "log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    with Pair(folder, port, "http") as pair:
        yield pair
    program.stop()


@pytest.fixture(params=["nginx", "ordinary"])
def pair(request):
    return request.getfixturevalue(request.param)


def test_curl_with_prior_knowledge(pair):
    out = run("curl", "-sS", "-w", "%{http_version} %{http_code}\n", "--http2-prior-knowledge",
              f"http://127.0.0.1:{pair.port}/")
    assert out.endswith("2 200\n"), out


def test_curl_with_an_upgrade_is_answered_in_http_1(pair):
    """`Upgrade: h2c` is not taken up: the request is served as it came."""
    out = run("curl", "-sS", "-w", "%{http_version} %{http_code}\n", "--http2", f"http://127.0.0.1:{pair.port}/")
    assert out.endswith("1.1 200\n"), out


def test_nginx_gets_http_2(nginx):
    assert raw.get(nginx.port, "/protocol").body == b"HTTP/2.0\n"
    assert len(raw.get(nginx.port, "/page").body) == 100_000


def test_nghttp(pair):
    out = run("nghttp", "-v", "-m", "5", f"http://127.0.0.1:{pair.port}/")
    assert len(re.findall(r":status: 200", out)) == 5, out
    assert "GOAWAY" not in out.split("recv", 1)[1] or "NO_ERROR" in out, out


def test_h2load(pair):
    out = run("h2load", "-n", "3000", "-c", "8", "-m", "20", f"http://127.0.0.1:{pair.port}/")
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
    assert "3000 2xx" in out, out


def test_h2load_with_windows_of_16_kb(pair, tmp_path):
    """Bodies both ways through small windows of the client's."""
    (tmp_path / "body").write_bytes(b"y" * 70_000)
    path = "/page" if "nginx" in raw.get(pair.port).body.decode() else "/hash"
    body = [] if path == "/page" else ["-d", str(tmp_path / "body")]
    out = run("h2load", "-n", "300", "-c", "4", "-m", "10", "-w", "14", "-W", "15", *body,
              f"http://127.0.0.1:{pair.port}{path}")
    assert "300 succeeded, 0 failed, 0 errored, 0 timeout" in out and "300 2xx" in out, out
