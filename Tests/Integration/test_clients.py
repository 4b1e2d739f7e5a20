"""Programs that people use, through two sidecars: curl, nghttp, h2load, nginx, Chromium."""

import asyncio
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import threading

import pytest

from support import raw
from support.browser import Browser
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


# Browsers speak HTTP/2 over TLS only, and an application's side of a sidecar has none: something in front of it ends TLS
# and passes on what the browser says, byte for byte.

class TLSFront:
    """Ends TLS in front of a port, with `h2` by ALPN."""

    def __init__(self, leaf, port):
        self.target, self.protocols = port, []
        self.context = leaf.context(server=True, alpn=("h2",))
        self.context.verify_mode = ssl.CERT_NONE
        self.loop, self.port = asyncio.new_event_loop(), None
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,))
        self.thread.start()
        assert ready.wait(10)

    def run(self, ready):
        async def serve():
            server = await asyncio.start_server(self.accepted, "127.0.0.1", 0, ssl=self.context)
            self.port = server.sockets[0].getsockname()[1]
            self.stopped = asyncio.Event()
            ready.set()
            await self.stopped.wait()
            server.close()
        self.loop.run_until_complete(serve())

    async def accepted(self, reader, writer):
        self.protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer))
        except (ConnectionError, ssl.SSLError):
            pass

    @staticmethod
    async def carry(reader, writer):
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.loop.close()


BROWSE = """
(async () => {
  const sizes = [...Array(40).keys()].map((n) => n * 9973);
  const bodies = await Promise.all(sizes.map(async (n) => (await (await fetch(`/bytes/${n}`)).arrayBuffer()).byteLength));
  const upload = await (await fetch("/hash", {method: "POST", body: new Uint8Array(1 << 20).fill(7)})).text();
  const stream = await fetch("/bytes/50000000");
  const reader = stream.body.getReader();
  await reader.read();
  await reader.cancel();
  const socket = new WebSocket(`wss://${location.host}/upgrade`);
  const opened = await new Promise((done) => { socket.onopen = () => done(true); socket.onerror = () => done(false); });
  const after = await (await fetch("/status/204")).status;
  const spoken = performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol);
  return {same: bodies.every((n, i) => n === sizes[i]), upload, opened, after, spoken: [...new Set(spoken)],
          first: performance.getEntriesByType("navigation")[0].nextHopProtocol};
})()
"""


def test_chromium(ordinary, tmp_path):
    """A page, forty requests at once, an upload, a download that is given up, a WebSocket: all by HTTP/2."""
    with TLSFront(ordinary.authority.leaf("front"), ordinary.port) as front:
        browser = Browser(tmp_path, arguments=("--ignore-certificate-errors",))
        try:
            browser.open(f"https://127.0.0.1:{front.port}/headers")
            raw.eventually(lambda: browser.run("document.readyState === 'complete' && location.protocol === 'https:'"), 20)
            found = browser.run(BROWSE)
        finally:
            browser.close()
        assert json.loads(found.pop("upload"))["sha256"] == hashlib.sha256(b"\x07" * (1 << 20)).hexdigest()
        assert found == {"same": True, "opened": True, "after": 204, "spoken": ["h2"], "first": "h2"}
        # A WebSocket that were not a stream would have come without this protocol.
        assert 1 <= len(front.protocols) <= 3 and set(front.protocols) == {"h2"}, front.protocols
