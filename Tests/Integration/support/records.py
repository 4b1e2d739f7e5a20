"""TLS 1.3 records by hand, on a connection that the ordinary library has opened: what no library would send."""

import os
import socket

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HANDSHAKE, APPLICATION_DATA = 22, 23
HELLO_REQUEST = b"\x00\x00\x00\x00"


class Sealer:
    """Seals a client's records with the keys of a handshake, which the library writes to a file (RFC 8446, section 5.2)."""

    def __init__(self, context, address, keylog):
        context.keylog_filename = keylog
        self.tls = context.wrap_socket(socket.create_connection(address, 5))
        suite = self.tls.cipher()[0]
        self.hash = hashes.SHA384() if suite.endswith("384") else hashes.SHA256()
        with open(keylog) as file:
            secret = next(bytes.fromhex(line.split()[2]) for line in file if line.startswith("CLIENT_TRAFFIC_SECRET_0"))
        key = self.expand(secret, "key", 16 if "AES_128" in suite else 32)
        self.cipher = ChaCha20Poly1305(key) if "CHACHA20" in suite else AESGCM(key)
        self.nonce, self.sequence = self.expand(secret, "iv", 12), 0

    def expand(self, secret, label, length):
        name = b"tls13 " + label.encode()
        return HKDFExpand(self.hash, length, length.to_bytes(2, "big") + bytes([len(name)]) + name + b"\x00").derive(secret)

    def send(self, kind, content):
        """One record, of a kind that the library would never use now."""
        inner = content + bytes([kind])
        header = bytes([APPLICATION_DATA, 3, 3]) + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self.nonce, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        # Past the library, whose own records would take the same numbers.
        os.write(self.tls.fileno(), header + self.cipher.encrypt(nonce, inner, header))

    def rest(self):
        """Waits until the peer has ended the connection."""
        try:
            while self.tls.recv(4096):
                pass
        except OSError:
            pass

    def close(self):
        self.tls.close()
