"""Certificates for a measurement, made with the openssl program: a root, a server and a client, P-256, SPIFFE names."""

import os
import subprocess


class Certificates:
    """Paths of the files; `alpn` is what mesh proxies say to each other."""

    alpn = "apus-http/1.1"

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.root = self._path("root.pem")
        root_key = self._path("root-key.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                      "30", "-subj", "/CN=root", "-keyout", root_key, "-out", self.root)
        self.server, self.server_key, self.server_bundle = self._leaf("server", "backend", root_key)
        self.client, self.client_key, self.client_bundle = self._leaf("client", "load", root_key)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _leaf(self, name, account, root_key):
        certificate, key, request = (self._path(f"{name}{end}") for end in (".pem", "-key.pem", ".csr"))
        extensions = self._path(f"{name}.ext")
        with open(extensions, "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                       "extendedKeyUsage=serverAuth,clientAuth\n"
                       f"subjectAltName=URI:spiffe://cluster.local/ns/default/sa/{account},DNS:backend,IP:127.0.0.1\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                      f"/CN={account}", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", root_key, "-CAcreateserial", "-days",
                      "20", "-extfile", extensions, "-out", certificate)
        bundle = self._path(f"{name}-bundle.pem")
        with open(bundle, "w") as output:
            for path in (certificate, key):
                with open(path) as file:
                    output.write(file.read())
        return certificate, key, bundle
