"""Ordinary servers and clients through two sidecars, and what the wire between the sidecars shows."""

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from support import raw
from support.processes import free_port

SECRET = "swordfish-in-the-payload-7c1f"


def inbound_port(client, service):
    """The mTLS port of a service's only workload, as a client's proxy knows it."""
    import json
    dump = json.loads(client.admin("/config_dump").body)
    found = [port["inboundPort"] for workload in dump["workloads"] if service in workload.get("services", [])
             for port in workload["ports"]]
    assert len(found) == 1, dump
    return found[0]


def test_python_http_server_and_curl(mesh, namespace, tmp_path):
    (tmp_path / "page.txt").write_text(SECRET)
    web = mesh.run("web", sys.executable, "-c",
                   "import http.server, json, os, sys\n"
                   "json.dump(dict(os.environ, PID=str(os.getpid())), open(sys.argv[1], 'w'))\n"
                   "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])),"
                   " lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=sys.argv[2])).serve_forever()",
                   "{env}", str(tmp_path), namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://web/page.txt")
    result = mesh.cli("run", "--service", "curl", "--namespace", namespace, "--",
                      "curl", "-sS", "--fail", "--max-time", "10", "http://web/page.txt")
    assert result.stdout == SECRET
    for name in (f"web.{namespace}", f"web.{namespace}.svc", f"web.{namespace}.svc.cluster.local"):
        assert client.get(f"http://{name}/page.txt").body.decode() == SECRET, name
    assert client.get("http://web/absent").status == 404
    assert client.get("http://nobody/").reason == "no_service"
    assert web.program.is_running()


def test_nginx(mesh, namespace, tmp_path):
    port = free_port()
    (tmp_path / "page").write_bytes(bytes(range(256)) * 4096)
    config = tmp_path / "nginx.conf"
    paths = " ".join(f"{kind}_temp_path {tmp_path};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; events {{}}\n"
        f"http {{ access_log off; {paths} gzip on; server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}\n")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    mesh.run("files", nginx, "-e", str(tmp_path / "error.log"), "-c", str(config), namespace=namespace, port=port,
             wait=False)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://files/page")
    for _ in range(50):
        response = client.get("http://files/page")
        assert response.body == bytes(range(256)) * 4096
    assert client.get("http://files/page", fields=[("Range", "bytes=0-9")]).status == 206
    head = client.get("http://files/page", method="HEAD")
    assert head.status == 200 and head.header("content-length") == "1048576"


def capture(ports, target):
    """Starts a capture of some ports on the loopback; skips the test where that is not allowed."""
    words = " or ".join(f"tcp port {port}" for port in ports)
    process = subprocess.Popen(["tshark", "-q", "-i", "lo", "-f", words, "-w", target], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if "Capturing on" in line:
            time.sleep(1)
            return process
        if process.poll() is not None or "permission" in line.lower():
            process.kill()
            pytest.skip(f"capturing packets is not permitted here (root is needed): {line.strip()}")
    raise AssertionError("tshark did not begin to capture")


def fields(pcap, display_filter, *names, options=()):
    command = ["tshark", "-r", pcap, *options, "-Y", display_filter, "-T", "fields"]
    for name in names:
        command += ["-e", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")


def test_the_wire_between_sidecars_shows_tls_1_3_and_no_payload(mesh, namespace, tmp_path):
    server = mesh.server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    port = inbound_port(client, f"{namespace}/server")
    # A proxy that was just started makes its first connection under the eyes of the capture.
    second = mesh.client(service="second", namespace=namespace)
    pcap = str(tmp_path / "wire.pcapng")
    capturing = capture([port, server.app_port], pcap)
    try:
        for number in range(20):
            response = second.get("http://server/hash", method="POST", body=SECRET.encode() * 50,
                                  fields=[("x-secret", f"{SECRET}-{number}")])
            assert response.status == 200
        time.sleep(1)
    finally:
        capturing.send_signal(signal.SIGINT)
        capturing.wait(10)
    secret = SECRET.encode().hex()
    between = "".join(fields(pcap, f"tcp.port == {port}", "tcp.payload"))
    behind = "".join(fields(pcap, f"tcp.port == {server.app_port}", "tcp.payload"))
    assert secret in behind, "the capture must be able to see the payload where it is in the clear"
    assert len(between) > 2 * 20 * 50 * len(SECRET), "the traffic went through the captured port"
    assert secret not in between
    decode = ("-d", f"tcp.port=={port},tls")
    versions = [line for line in fields(pcap, f"tls.handshake.type == 2 && tcp.port == {port}",
                                        "tls.handshake.extensions.supported_version", options=decode) if line]
    assert versions and set(versions) == {"0x0304"}, versions


def test_clients_without_a_mesh_certificate_are_refused(mesh, namespace):
    server = mesh.server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    port = inbound_port(client, f"{namespace}/server")

    def attempt(wrap, marker):
        try:
            with raw.Connection(port, wrap=wrap) as connection:
                connection.request("GET", f"/{marker}")
                return connection.response()
        except (OSError, EOFError, ValueError) as error:
            return error

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["apus-http/1.1"])
    assert not isinstance(attempt(context.wrap_socket, "no-certificate"), raw.Response)

    import trustme
    stranger = trustme.CA().issue_cert(f"client.{namespace}.svc.cluster.local")
    stranger.configure_cert(context)
    assert not isinstance(attempt(context.wrap_socket, "unknown-authority"), raw.Response)
    assert not isinstance(attempt(None, "plaintext"), raw.Response)

    recorded = server.recorded()
    for marker in (b"no-certificate", b"unknown-authority", b"plaintext"):
        assert marker not in recorded
    refusals = server.admin("/metrics").body.decode()
    for reason in ("tls_no_client_certificate", "tls_unknown_authority", "tls_plaintext_refused"):
        assert reason in refusals, f"{reason} is not counted"


def test_plaintext_is_taken_where_the_policy_says_permissive(mesh, namespace):
    mesh.server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    port = inbound_port(client, f"{namespace}/server")
    mesh.apply({"apiVersion": "apus.dev/v1", "kind": "PeerAuthentication",
                "metadata": {"name": "open", "namespace": namespace}, "spec": {"mode": "PERMISSIVE"}})
    raw.eventually(lambda: raw.get(port, "/").status == 200)
    # A client without identity is outside the trust boundary: what it claims about itself is not passed on.
    claimed = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-client-cert", "By=forged"), ("x-forwarded-proto", "gopher"),
               ("x-envoy-expected-rq-timeout-ms", "777")]
    seen = raw.get(port, "/headers", claimed).body
    assert not any(text in seen for text in (b"6.6.6.6", b"forged", b"gopher", b"777")), seen
    assert raw.get(port, "/delay/50", [("x-envoy-expected-rq-timeout-ms", "1")]).status == 200
    assert client.get("http://server/").status == 200
    mesh.cli("delete", "peerauthentication", "open", "-n", namespace)

    def refused():
        try:
            return raw.get(port, "/", seconds=2).status != 200
        except (OSError, EOFError, ValueError, socket.timeout):
            return True
    raw.eventually(refused)


def test_the_application_sees_who_called_and_nothing_forged(mesh, namespace):
    import json
    mesh.server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    forged = [("x-forwarded-client-cert", "By=spiffe://cluster.local/ns/x/sa/root"), ("x-forwarded-proto", "gopher"),
              ("connection", "x-forwarded-client-cert, x-secret"), ("x-secret", "1"), ("x-keep", "2")]
    seen = json.loads(client.get("http://server/headers", fields=forged).body)["fields"]
    names = {name.lower(): value for name, value in seen}
    # What an ingress that is a workload of the mesh says of its own clients passes: it is asked by its own application.
    ingress = [("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.7")]
    told = dict((name.lower(), value) for name, value in
                json.loads(client.get("http://server/headers", fields=ingress).body)["fields"])
    assert (told["x-forwarded-proto"], told["x-forwarded-for"]) == ("https", "203.0.113.7")
    assert "sa/root" not in str(seen) and "x-secret" not in names and names["x-keep"] == "2"
    assert f"spiffe://cluster.local/ns/{namespace}/sa/client" in names["x-forwarded-client-cert"]
    # The client has spoken HTTP without TLS; that the proxies have TLS between them is nothing that applications see.
    assert [value for name, value in seen if name.lower() == "x-forwarded-proto"] == ["http"]
    assert names.get("x-request-id") and names.get("host") == "server"
