"""The control plane dies and comes back; certificates turn over; traffic goes on."""

import json
import os
import socket
import ssl
import stat

from support import processes, raw
from support.mesh import backend, route, version_service


def synced(mesh, *workloads):
    def check():
        proxies = mesh.proxies()
        assert all(proxies[w.uid]["status"] == "SYNCED" for w in workloads), proxies
        return True
    return raw.eventually(check, 20)


def test_losing_the_control_plane_stops_no_traffic_and_its_return_converges(own_mesh):
    mesh = own_mesh
    first, second = (mesh.quick_server("catalog", version) for version in ("v1", "v2"))
    client = mesh.client()
    mesh.apply(version_service("catalog", "v1"), version_service("catalog", "v2"),
               route("catalog", {"backendRefs": [backend("catalog-v1")]}))
    mesh.meshed(first, second)
    assert all(client.get("http://catalog/").body == b"catalog-v1\n" for _ in range(10))
    synced(mesh, first, second, client)

    with client.load("http://catalog/", connections=8) as load:
        mesh.pause(1)
        mesh.kill_control_plane()
        mesh.pause(4)
    load.assert_all_answered(at_least=1000)

    # Both proxies of the path are killed while there is nobody to ask: they serve from their disk caches.
    ports = client.forward_port, client.admin_port
    for workload in (client, first):
        before = workload.sidecar_pid
        processes.kill(before)
        raw.eventually(lambda w=workload, b=before: w.sidecar_pid != b, 20)
    answer = raw.eventually(lambda: (lambda r: r if r.status == 200 else None)(client.get("http://catalog/")), 20)
    assert answer.body == b"catalog-v1\n" and ports == (client.forward_port, client.admin_port)

    with client.load("http://catalog/", connections=8) as load:
        mesh.start()
        synced(mesh, first, second, client)
        mesh.apply(route("catalog", {"backendRefs": [backend("catalog-v2")]}))
        assert all(client.get("http://catalog/").body == b"catalog-v2\n" for _ in range(10))
    load.assert_all_answered(at_least=100)


def test_what_was_applied_survives_kill_9(own_mesh):
    mesh = own_mesh
    for number in range(10):
        mesh.apply(version_service(f"kept-{number}", "v1"))
    mesh.kill_control_plane()
    mesh.start()
    items = mesh.api("GET", "/api/v1/namespaces/default/services")[1]["items"]
    assert {item["metadata"]["name"] for item in items} == {f"kept-{number}-v1" for number in range(10)}


def test_what_ended_while_the_control_plane_was_down_is_no_instance(own_mesh):
    """As when a machine, or a demo, is cut short: what is started next is counted, and nothing besides."""
    mesh = own_mesh
    ended = [mesh.quick_server("catalog", "v1") for _ in range(2)]

    def meshed():
        items = json.loads(mesh.cli("stat", "-o", "json").stdout)["items"]
        return {item["name"]: item["meshed"] for item in items if item["kind"] == "service"}
    raw.eventually(lambda: meshed().get("catalog") == "2/2", 15)
    mesh.kill_control_plane()
    for workload in ended:
        workload.program.kill()
        mesh.workloads.remove(workload)
    mesh.start()
    assert meshed().get("catalog", "0/0") == "0/0"
    mesh.quick_server("catalog", "v1")
    raw.eventually(lambda: meshed().get("catalog") == "1/1", 5)


def test_a_workload_that_starts_without_control_plane_is_not_open(own_mesh):
    mesh = own_mesh
    mesh.kill_control_plane()
    result = mesh.cli("run", "--service", "late", "--", "true", check=False, seconds=60)
    assert result.returncode == 5, (result.returncode, result.stderr)
    assert f"{mesh.api_port}" in result.stderr


def test_keys_and_tokens_are_for_their_owner_only(own_mesh):
    own_mesh.client()
    for folder, _, names in os.walk(own_mesh.data):
        for name in names:
            path = os.path.join(folder, name)
            mode = stat.S_IMODE(os.lstat(path).st_mode)
            if "key" in name or "token" in name or name.endswith(".db"):
                assert mode & 0o077 == 0, f"{path} has mode {mode:o}"
        if os.path.basename(os.path.dirname(folder)) == "proxies":
            assert stat.S_IMODE(os.lstat(folder).st_mode) == 0o700, folder


def certificate_port(client, server):
    """Where the server's proxy listens for the mesh, as the client's proxy knows it."""
    dump = json.loads(client.admin("/config_dump").body)
    return next(port["inboundPort"] for workload in dump["workloads"] if workload["uid"] == server.uid
                for port in workload["ports"])


def certificate_serial(port):
    """The serial number of the certificate that an inbound port shows."""
    from cryptography import x509
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["apus-http/1.1"])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secure:
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True)).serial_number


def test_certificates_of_ten_seconds_turn_over_at_load_without_a_failure(mesh_of_short_certificates):
    mesh = mesh_of_short_certificates
    server, client = mesh.quick_server(), mesh.client()
    mesh.wait_for(client, "http://server/")
    port = certificate_port(client, server)
    seen = {certificate_serial(port)}
    with client.load("http://server/", connections=8) as steady, \
            client.load("http://server/", connections=4, header="Connection: close") as reopening:
        for _ in range(30):
            mesh.pause(1)
            seen.add(certificate_serial(port))
    steady.assert_all_answered(at_least=1000)
    reopening.assert_all_answered(at_least=100)
    assert len(seen) >= 4, f"{len(seen)} certificates in 30 s"
