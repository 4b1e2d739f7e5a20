"""Proxies of others, each with one port that sends everything to another: HAProxy, Caddy, Traefik.

`listens` and `speaks` say whether they take and send HTTP/2 without TLS, where they would take and send HTTP/1.1 else.
"""

import os
import shutil
import sys

from . import raw
from .processes import Program, free_port

HAPROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} {listens}
  default_backend back
backend back
  http-reuse always
  server s 127.0.0.1:{target} {speaks}
"""
CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1 {listens}
  }}
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy {speaks}127.0.0.1:{target}
}}
"""
TRAEFIK = """
http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: back}}
  services:
    back: {{loadBalancer: {{servers: [{{url: "{speaks}://127.0.0.1:{target}"}}]}}}}
"""


def _from_pypi(name):
    return os.path.join(os.path.dirname(sys.executable), name)


def haproxy(folder, port, target, listens, speaks):
    """HAProxy can take only one of the two on a port without TLS; the others take both."""
    file = _write(folder, "haproxy.cfg", HAPROXY.format(port=port, target=target, listens="proto h2" if listens else "",
                                                        speaks=speaks if isinstance(speaks, str) else
                                                        "proto h2" if speaks else ""))
    return [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", file]


def caddy(folder, port, target, listens, speaks):
    file = _write(folder, "Caddyfile", CADDY.format(port=port, target=target, listens="h2c" if listens else "",
                                                    speaks="h2c://" if speaks else ""))
    return [_from_pypi("caddy"), "run", "--adapter", "caddyfile", "--config", file]


def traefik(folder, port, target, listens, speaks):
    file = _write(folder, "routes.yaml", TRAEFIK.format(target=target, speaks="h2c" if speaks else "http"))
    return [_from_pypi("traefik"), f"--entrypoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={file}",
            "--global.checknewversion=false", "--global.sendanonymoususage=false"]


PROGRAMS = {"haproxy": haproxy, "caddy": caddy, "traefik": traefik}


def _write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Other(Program):
    """One of `PROGRAMS` before a port."""

    def __init__(self, name, folder, target, listens=False, speaks=False):
        self.name, self.port = name, free_port()
        self.takes_http1 = name != "haproxy" or not listens
        folder = os.path.join(str(folder), f"{name}-{self.port}")
        os.makedirs(folder)
        super().__init__(PROGRAMS[name](folder, self.port, target, listens, speaks), os.path.join(folder, "log"),
                         {**os.environ, "HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder})
        raw.eventually(self._serves, 30)

    def _serves(self):
        """Listens, and has read where everything goes, which Traefik does some time after."""
        assert self.is_running(), self.output()
        with raw.Connection(self.port) as connection:
            if self.takes_http1:
                connection.request("GET", "/")
                return connection.response().status != 404
        return True

    def workload(self, **more):
        """It as an endpoint of `default/server`."""
        return {"uid": self.name, "namespace": "default", "name": self.name, "address": "127.0.0.1", "app": "server",
                "services": ["default/server"],
                "ports": [{"appPort": self.port, "appProtocol": "http", "name": "http"}], **more}
