"""An authority for tests without a control plane: SPIFFE certificates as files, and TLS contexts made of them."""

import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TRUST_DOMAIN = "cluster.local"


def spiffe(account, namespace="default", trust_domain=TRUST_DOMAIN):
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{account}"


class Leaf:
    """Paths of a certificate, its key and the root, as the proxies' configuration names them."""

    def __init__(self, chain, key, root, identity):
        self.chain, self.key, self.root, self.identity = chain, key, root, identity

    def snapshot(self):
        return {"certificateChain": self.chain, "privateKey": self.key, "roots": self.root}

    def context(self, server=False, alpn=("h2",)):
        """TLS 1.3 with this certificate; names are for the test to check."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.root)
        context.load_cert_chain(self.chain, self.key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


class Authority:
    def __init__(self, folder, name="root"):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self.name, self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=1), True).add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), True).sign(
            self.key, hashes.SHA256())
        self.root = self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def _write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def _builder(self, subject, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key).serial_number(
            x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=1))

    def leaf(self, account, identity=None):
        identity = identity or spiffe(account)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, account)])
        certificate = self._builder(subject, key.public_key()).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), True).add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False), True).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), False).sign(
            self.key, hashes.SHA256())
        chain = self._write(f"{account}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        private = self._write(f"{account}-key.pem", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return Leaf(chain, private, self.root, identity)
