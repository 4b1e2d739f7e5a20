"""The control plane's gRPC port, spoken to by a client that is not ours."""

import datetime
import os
import socket
import ssl
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import processes, raw
from support.fleet import Fleet
from support.mesh import backend, route, version_service
from support.xds_client import PROXY, SERVICE, TRUST, WORKLOAD, ControlPlane, Identity, parse, text, texts


@pytest.fixture
def roots(mesh):
    with open(os.path.join(mesh.data, "ca", "root-cert.pem"), "rb") as file:
        return file.read()


@pytest.fixture
def join(mesh, roots, namespace):
    """Makes an identity by join token."""
    def make(account="client"):
        status, answer = mesh.api(
            "POST", f"/apis/apus.dev/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {})
        assert status in (200, 201), answer
        with ControlPlane(mesh.xds_port, roots) as anonymous:
            return anonymous.certify(Identity(namespace, account), answer["token"])
    return make


def code(action):
    with pytest.raises(grpc.RpcError) as caught:
        action()
    return caught.value.code()


def test_a_join_token_buys_a_certificate_for_its_own_identity_only(mesh, roots, namespace, join):
    identity = join()
    names = identity.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [name.value for name in names.value] == [identity.uri]
    assert 23 * 3600 < identity.seconds_left <= 24 * 3600
    assert identity.chain[-1].encode().strip() == roots.strip()
    token = mesh.api("POST", f"/apis/apus.dev/v1/namespaces/{namespace}/serviceaccounts/client/token", {})[1]["token"]
    with ControlPlane(mesh.xds_port, roots) as anonymous:
        other = Identity(namespace, "payments")
        assert code(lambda: anonymous.certify(other, token)) == grpc.StatusCode.PERMISSION_DENIED
        assert code(lambda: anonymous.certify(other)) == grpc.StatusCode.UNAUTHENTICATED
        assert code(lambda: anonymous.certify(other, token[:-4] + "AAAA")) == grpc.StatusCode.UNAUTHENTICATED
    with ControlPlane(mesh.xds_port, roots, identity) as known:
        before = identity.chain[0]
        assert known.certify(identity, seconds=60).chain[0] != before
        assert identity.seconds_left <= 60


def test_streams_need_a_certificate_of_the_mesh(mesh, roots, namespace, join):
    with ControlPlane(mesh.xds_port, roots) as anonymous:
        stream = anonymous.discover("x")
        stream.request(WORKLOAD)
        assert stream.status()[0] == grpc.StatusCode.UNAUTHENTICATED
        assert anonymous.attach("x", Identity(namespace, "client"), 1234).status()[0] == grpc.StatusCode.UNAUTHENTICATED
    stranger = Identity(namespace, "client")
    stranger.chain = strange_chain(stranger)
    with ControlPlane(mesh.xds_port, roots, stranger) as foreign:
        stream = foreign.discover("x")
        stream.request(WORKLOAD)
        status, sentence = stream.status()
        assert status == grpc.StatusCode.UNAUTHENTICATED and "root" in sentence


def test_an_ended_certificate_renews_itself_and_opens_nothing_else(mesh, roots, join):
    identity = join()
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        plane.certify(identity, seconds=1)
    raw.eventually(lambda: identity.seconds_left < -1)
    with ControlPlane(mesh.xds_port, roots, identity) as late:
        stream = late.discover("late")
        stream.request(WORKLOAD)
        status, sentence = stream.status()
        assert status == grpc.StatusCode.UNAUTHENTICATED and "clock" in sentence
        assert late.certify(identity).seconds_left > 3600
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        plane.discover("late").settle()


def strange_chain(identity):
    """A chain of an authority that the mesh does not know."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another authority")])

    def sign(subject, public, names, ca):
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    leaf = sign(x509.Name([]), identity.key.public_key(), [x509.UniformResourceIdentifier(identity.uri)], False)
    return [leaf, sign(name, key.public_key(), None, True)]


def test_only_tls_1_3_is_spoken(mesh, roots):
    context = ssl.create_default_context(cadata=roots.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", mesh.xds_port), 5) as connection:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_hostname="localhost")


def test_a_changed_weight_arrives_within_a_hundred_milliseconds(mesh, roots, namespace, join):
    identity = join()

    def weights(first):
        return route("catalog", {"backendRefs": [backend("catalog-v1", first), backend("catalog-v2", 100 - first)]},
                     namespace=namespace)
    mesh.apply(version_service("catalog", "v1", namespace), version_service("catalog", "v2", namespace),
               {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "catalog", "namespace": namespace},
                "spec": {"selector": {"app": "catalog"}, "ports": [{"name": "http", "port": 80}]}},
               weights(95), namespace=namespace)
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/catalog"
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        stream = plane.discover("weights")
        have, _ = stream.settle()
        name = f"{namespace}/catalog"
        assert name in have[SERVICE]
        delays = []
        for weight in range(50, 60):
            stored = mesh.api("GET", path)[1]
            stored["spec"]["rules"][0]["backendRefs"][0]["weight"] = weight
            begin = time.monotonic()
            assert mesh.api("PUT", path, stored)[0] == 200
            while True:
                response = stream.next()
                stream.acknowledge(response)
                if name in response.resources:
                    rule = parse(response.resources[name][4][0])
                    if parse(rule[9][0]).get(4) == [weight]:
                        break
            delays.append(time.monotonic() - begin)
        # The fastest: what the way takes, whatever else the machine does meanwhile.
        assert min(delays) < 0.1, delays


def test_a_reconnect_brings_only_what_changed(mesh, roots, namespace, join):
    identity = join()
    mesh.apply(version_service("a", "v1", namespace), version_service("b", "v1", namespace), namespace=namespace)
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        have, _ = plane.discover("again").settle()
    assert {f"{namespace}/a-v1", f"{namespace}/b-v1"} <= set(have[SERVICE]) and len(have[TRUST]) == 1
    assert list(have[PROXY]) == ["self"]
    mesh.cli("delete", "service", "b-v1", "-n", namespace)
    mesh.apply(version_service("c", "v1", namespace), namespace=namespace)
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        stream = plane.discover("again")
        after, changes = stream.settle(initial=have)
        sent = {name for response in changes for name in response.versions}
        assert f"{namespace}/c-v1" in sent and f"{namespace}/a-v1" not in sent and "self" not in sent
        if f"{namespace}/b-v1" in after[SERVICE]:
            wait_for(stream, lambda response: f"{namespace}/b-v1" in response.removed)


def test_a_thousand_proxies_that_come_back_at_once(own_mesh):
    """The control plane is killed under a thousand proxies and started again: all come back, are sent nothing that they
    have, take the next change, and the memory that this takes is bounded."""
    mesh = own_mesh
    with open(os.path.join(mesh.data, "ca", "root-cert.pem"), "rb") as file:
        roots = file.read()
    token = mesh.api("POST", "/apis/apus.dev/v1/namespaces/fleet/serviceaccounts/ship/token", {})[1]["token"]
    with ControlPlane(mesh.xds_port, roots) as anonymous:
        identity = anonymous.certify(Identity("fleet", "ship"), token)
    mesh.apply(*(version_service(f"s{number}", "v1", "fleet") for number in range(50)))

    def everywhere(name):
        def check():
            missing = [member.name for member in fleet.members if f"fleet/{name}" not in member.have[SERVICE]]
            assert not missing, f"{len(missing)} have not got {name}"
            return True
        raw.eventually(check, 150, 0.2)
    with Fleet(mesh.xds_port, roots, identity, 1000) as fleet:
        everywhere("s49-v1")
        mesh.apply(version_service("first", "v1", "fleet"))
        everywhere("first-v1")
        known = mesh.proxies()
        assert {known[member.name]["status"] for member in fleet.members} == {"SYNCED"}
        sent = [member.sent for member in fleet.members]
        mesh.kill_control_plane()
        mesh.start()
        raw.eventually(lambda: len([p for p in mesh.proxies().values() if p["status"] == "SYNCED"]) == 1000, 150, 0.5)
        mesh.apply(version_service("second", "v1", "fleet"))
        everywhere("second-v1")
        # One that was away for two turns of the control plane would have come back twice; none was sent what it had.
        assert all(member.connected >= 2 for member in fleet.members)
        assert max(member.sent - before for member, before in zip(fleet.members, sent)) <= 2
        memory = processes.resident_bytes(mesh.control_plane.pid)
        assert memory < 600 << 20, f"{memory >> 20} MiB for a thousand proxies"


def test_a_refusal_is_reported_and_not_sent_again(mesh, roots, namespace, join):
    identity = join()
    with ControlPlane(mesh.xds_port, roots, identity) as plane:
        stream = plane.discover("refuser")
        stream.settle()
        raw.eventually(lambda: mesh.proxies()["refuser"]["status"] == "SYNCED")
        mesh.apply(version_service("bad", "v1", namespace), namespace=namespace, wait=False)
        while True:
            response = stream.next()
            if f"{namespace}/bad-v1" in response.versions:
                stream.refuse(response, f"{namespace}/bad-v1: I do not like it")
                break
            stream.acknowledge(response)
        found = raw.eventually(
            lambda: (lambda p: p if p["status"] == "NACKED" else None)(mesh.proxies()["refuser"]))
        assert found["nack"]["type"] == SERVICE and "I do not like it" in found["nack"]["message"]
        assert found["namespace"] == namespace
    raw.eventually(lambda: mesh.proxies()["refuser"]["status"] == "DISCONNECTED")


def test_a_registered_workload_is_an_endpoint_while_its_stream_lasts(mesh, roots, namespace, join):
    watcher, worker = join(), join("worker")
    mesh.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "worker", "namespace": namespace},
                "spec": {"selector": {"app": "worker"}, "ports": [{"name": "http", "port": 80, "targetPort": 4711}]}},
               namespace=namespace)
    uid = f"{namespace}-worker"
    with ControlPlane(mesh.xds_port, roots, watcher) as plane:
        stream = plane.discover("watcher")
        stream.settle(WORKLOAD)
        with ControlPlane(mesh.xds_port, roots, worker) as peer:
            assert parse_interval(peer.attach(uid, worker, 4711, version="v7").next()) == 1000
            endpoint = wait_for(stream, lambda response: response.resources.get(uid))
            assert text(endpoint, 4) == worker.uri and text(endpoint, 5) == "127.0.0.1" and text(endpoint, 7) == "v7"
            assert texts(endpoint, 12) == [f"{namespace}/worker"]
            lying = peer.attach(uid + "2", worker, 4711, account="payments")
            assert lying.status()[0] == grpc.StatusCode.PERMISSION_DENIED
            gone = time.monotonic()
        wait_for(stream, lambda response: uid in response.removed)
        assert time.monotonic() - gone < 5


def parse_interval(fields):
    return fields[1][0]


def wait_for(stream, found):
    while True:
        response = stream.next()
        stream.acknowledge(response)
        result = found(response)
        if result:
            return result
