"""A foreign peer of the control plane: gRPC's own C library, with messages coded here by hand.

Nothing of the mesh's code is in it, so that it shows whether what goes over the wire is what the protocols say.
"""

import datetime
import queue
import struct
import threading

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DISCOVER = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
CERTIFY = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
ATTACH = "/apus.v1.WorkloadService/Attach"
TYPE = "type.googleapis.com/apus.v1."
SERVICE, WORKLOAD, PROXY, TRUST = (TYPE + name for name in ("ServiceConfig", "Workload", "ProxyConfig", "TrustBundle"))


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """One protobuf field: a number as varint, text or bytes with their length; nothing for what is empty."""
    if isinstance(value, (list, tuple)):
        return b"".join(field(number, one) for one in value)
    if isinstance(value, dict):
        return b"".join(field(number, field(1, key) + field(2, one)) for key, one in value.items())
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(int(value)) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def parse(data):
    """The fields of a message: number to the list of its values, as bytes or numbers."""
    fields, at = {}, 0

    def number():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7
    while at < len(data):
        tag = number()
        kind = tag & 7
        if kind == 0:
            value = number()
        elif kind == 2:
            length = number()
            value, at = data[at:at + length], at + length
        else:
            width = 8 if kind == 1 else 4
            value, at = struct.unpack("<Q" if kind == 1 else "<I", data[at:at + width])[0], at + width
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def texts(fields, number):
    return [value.decode() for value in fields.get(number, [])]


def text(fields, number):
    return (texts(fields, number) or [""])[-1]


class Identity:
    """A key of our own, and the certificates that were issued for it."""

    def __init__(self, namespace, account, trust_domain="cluster.local"):
        self.namespace, self.account = namespace, account
        self.uri = f"spiffe://{trust_domain}/ns/{namespace}/sa/{account}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.chain = None

    def request(self, uri=None):
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri or self.uri)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
        return csr.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def leaf(self):
        return x509.load_pem_x509_certificate(self.chain[0].encode())

    @property
    def seconds_left(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (self.leaf.not_valid_after_utc - now).total_seconds()


class Response:
    """A DeltaDiscoveryResponse."""

    def __init__(self, data):
        fields = parse(data)
        self.version, self.type, self.nonce = text(fields, 1), text(fields, 4), text(fields, 5)
        self.removed = texts(fields, 6)
        self.resources, self.versions = {}, {}
        for one in fields.get(2, []):
            resource = parse(one)
            name = text(resource, 3)
            self.versions[name] = text(resource, 1)
            content = parse(resource[2][0])
            assert text(content, 1) == self.type, "the resource is of another type than its response"
            self.resources[name] = parse(content.get(2, [b""])[0])

    def __repr__(self):
        return f"{self.type.rsplit('.', 1)[-1]}@{self.version} {sorted(self.versions)} -{self.removed}"


class Call:
    """A call with a stream each way; what comes is gathered by a thread."""

    def __init__(self, method, decode):
        self.outgoing, self.incoming, self.error = queue.Queue(), queue.Queue(), None
        self.decode = decode
        self.call = method(iter(self.outgoing.get, None))
        self.thread = threading.Thread(target=self.gather, daemon=True)
        self.thread.start()

    def gather(self):
        try:
            for message in self.call:
                self.incoming.put(self.decode(message))
        except grpc.RpcError as error:
            self.error = error
        self.incoming.put(None)

    def send(self, message):
        self.outgoing.put(message)

    def next(self, seconds=5.0):
        """What comes next; fails when nothing does."""
        try:
            found = self.incoming.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"nothing came within {seconds} s") from None
        if found is None:
            raise AssertionError(f"the stream ended: {self.error}")
        return found

    def expect_silence(self, seconds=0.3):
        try:
            found = self.incoming.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"something came: {found}, {self.error}")

    def status(self, seconds=5.0):
        """The status with which the call ends."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the call goes on"
        return self.error and (self.error.code(), self.error.details())

    def close(self):
        self.outgoing.put(None)
        self.call.cancel()
        self.thread.join(5)


class Discovery(Call):
    """A delta discovery stream that acknowledges nothing by itself."""

    def __init__(self, method, node):
        self.node = node
        super().__init__(method, Response)

    def request(self, kind, subscribe=(), unsubscribe=(), initial=None, nonce="", error=None):
        message = b""
        if self.node:
            message += field(1, field(1, self.node) + field(6, "foreign-client"))
            self.node = None
        message += field(2, kind) + field(3, list(subscribe)) + field(4, list(unsubscribe)) + field(5, initial or {})
        if nonce:
            message += field(6, nonce)
        if error:
            message += field(7, field(1, 3) + field(2, error))
        self.send(message)

    def acknowledge(self, response):
        self.request(response.type, nonce=response.nonce)

    def refuse(self, response, reason):
        self.request(response.type, nonce=response.nonce, error=reason)

    def settle(self, *kinds, initial=None):
        """Subscribes to everything and acknowledges until nothing more comes; returns versions by type and name."""
        kinds = kinds or (TRUST, PROXY, WORKLOAD, SERVICE)
        for kind in kinds:
            self.request(kind, initial=(initial or {}).get(kind))
        have, waiting, changes = {kind: dict((initial or {}).get(kind, {})) for kind in kinds}, set(kinds), []
        while waiting:
            response = self.next()
            changes.append(response)
            have[response.type].update(response.versions)
            for name in response.removed:
                have[response.type].pop(name, None)
            self.acknowledge(response)
            if not response.version.endswith("+"):
                waiting.discard(response.type)
        return have, changes


class ControlPlane:
    """The gRPC port of a control plane, seen by one client."""

    def __init__(self, port, roots, identity=None):
        credentials = grpc.ssl_channel_credentials(
            root_certificates=roots,
            private_key=identity.key_pem if identity else None,
            certificate_chain="".join(identity.chain[:2]).encode() if identity else None)
        self.channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=[
            ("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)])
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for call in self.calls:
            call.close()
        self.channel.close()

    def certify(self, identity, token=None, seconds=0, uri=None):
        """Asks for a certificate, by token or by that of the connection; `identity` has it afterwards."""
        metadata = [("authorization", f"Bearer {token}")] if token else None
        message = field(1, identity.request(uri)) + field(3, seconds)
        identity.chain = texts(parse(self.channel.unary_unary(CERTIFY)(message, metadata=metadata, timeout=60)), 1)
        return identity

    def discover(self, node):
        call = Discovery(self.channel.stream_stream(DISCOVER), node)
        self.calls.append(call)
        return call

    def attach(self, uid, identity, port, service=None, version="", address="127.0.0.1", **extra):
        """Registers a workload and waits for the answer."""
        call = Call(self.channel.stream_stream(ATTACH), parse)
        self.calls.append(call)
        registration = (
            field(1, uid) + field(2, extra.get("namespace", identity.namespace)) + field(4, service or identity.account)
            + field(5, extra.get("account", identity.account)) + field(6, version) + field(8, address)
            + field(10, field(1, port) + field(2, port) + field(3, 1)))
        call.send(field(1, registration))
        return call
