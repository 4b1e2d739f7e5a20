"""Certificates out of a mesh's own authority, right but for one thing each."""

import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .certificates import spiffe


class Leaves:
    """Signs with the intermediate of the authority in a control plane's data folder."""

    def __init__(self, data, folder):
        self.folder = str(folder)
        authority = os.path.join(data, "ca")
        with open(os.path.join(authority, "intermediate-cert.pem"), "rb") as file:
            self.issuer_pem = file.read()
        with open(os.path.join(authority, "intermediate-key.pem"), "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)
        self.issuer = x509.load_pem_x509_certificate(self.issuer_pem)

    def context(self, name, identities=None, begin=-3600, end=86400, is_authority=False, key=None, alpn=("h2",),
                version=ssl.TLSVersion.TLSv1_3,
                purposes=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)):
        """A client's TLS context with a certificate; `identities` are its URIs, times are seconds from now."""
        if identities is None:
            identities = [spiffe("stranger", "reasons")]
        own = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])).issuer_name(self.issuer.subject).public_key(
            own.public_key()).serial_number(x509.random_serial_number()).not_valid_before(
            now + datetime.timedelta(seconds=begin)).not_valid_after(now + datetime.timedelta(seconds=end)).add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=None), True).add_extension(
            x509.KeyUsage(True, False, False, False, False, is_authority, False, False, False), True).add_extension(
            x509.ExtendedKeyUsage(list(purposes)), False)
        if identities:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(identity) for identity in identities]), False)
        certificate = builder.sign(key or self.key, hashes.SHA256())
        chain = os.path.join(self.folder, f"{name}.pem")
        with open(chain, "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM) + self.issuer_pem)
            file.write(own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
        context = plain_context(alpn, version)
        context.load_cert_chain(chain)
        return context


def plain_context(alpn=("h2",), version=ssl.TLSVersion.TLSv1_3):
    """A client's TLS context without a certificate, which checks nothing of its peer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
