"""Envoy as a peer: configuration for the few shapes that tests need, and the process."""

import json
import os

import envoy

from . import raw
from .processes import Program, free_port

PROGRAM = os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy")
TYPE = "type.googleapis.com/envoy.extensions."
HTTP2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(port, leaf=None, peer=None, http2=False, name="b"):
    """A cluster of one endpoint; with a leaf by mutual TLS, and the peer's SPIFFE ID must be the one given."""
    found = {"name": name, "type": "STATIC", "connect_timeout": "3s", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]}}
    if leaf:
        found["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": TYPE + "transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common(leaf, peer)}}
    if http2:
        found["typed_extension_protocol_options"] = HTTP2
    return found


def common(leaf, peer):
    trusted = {"trusted_ca": {"filename": leaf.root}}
    if peer:
        trusted["match_typed_subject_alt_names"] = [{"san_type": "URI", "matcher": {"exact": peer}}]
    return {"tls_certificates": [{"certificate_chain": {"filename": leaf.chain}, "private_key": {"filename": leaf.key}}],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": trusted, "alpn_protocols": ["h2"]}


def downstream(leaf, peer):
    return {"name": "tls", "typed_config": {
        "@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext", "require_client_certificate": True,
        "common_tls_context": common(leaf, peer)}}


def tunnel(upstream="b", hostname=None):
    """Copies bytes; with a host name inside a CONNECT stream to it."""
    config = {"@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": upstream}
    if hostname:
        config["tunneling_config"] = {"hostname": hostname, "headers_to_add": [
            {"header": {"key": "baggage", "value": "k8s.namespace.name=default,service.name=envoy"}}]}
    return {"name": "tcp", "typed_config": config}


def connections(routes, log=None, http2=True):
    """An HTTP connection manager. `log` is a file that gets a line of JSON a request."""
    config = {"@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
              "codec_type": "HTTP2" if http2 else "AUTO",
              "http2_protocol_options": {"allow_connect": True}, "upgrade_configs": [{"upgrade_type": "CONNECT"}],
              "forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"uri": True},
              "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
              "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}]}
    if log:
        fields = {"method": "%REQ(:METHOD)%", "authority": "%REQ(:AUTHORITY)%", "baggage": "%REQ(BAGGAGE)%",
                  "forwarded": "%REQ(FORWARDED)%", "traceparent": "%REQ(TRACEPARENT)%",
                  "peer": "%DOWNSTREAM_PEER_URI_SAN%", "status": "%RESPONSE_CODE%"}
        config["access_log"] = [{"name": "log", "typed_config": {
            "@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": log,
            "log_format": {"json_format": fields}}}]
    return {"name": "http", "typed_config": config}


CONNECT_ROUTE = {"match": {"connect_matcher": {}}, "route": {
    "cluster": "b", "timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}


class Envoy(Program):
    """One listener with one filter."""

    def __init__(self, folder, name, network_filter, clusters, tls=None, port=None):
        self.port = port or free_port()
        chain = {"filters": [network_filter]}
        if tls:
            chain["transport_socket"] = tls
        path = os.path.join(str(folder), f"{name}.json")
        with open(path, "w") as file:
            json.dump({"static_resources": {"listeners": [{"address": address(self.port), "filter_chains": [chain]}],
                                            "clusters": clusters}}, file, indent=1)
        super().__init__([PROGRAM, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
                          "--file-flush-interval-msec", "100",
                          "--base-id", str(self.port)], path.replace(".json", ".log"))

        def listens():
            assert self.is_running(), self.output()
            raw.Connection(self.port).socket.close()
            return True
        raw.eventually(listens, 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def logs(self):
        yield os.path.basename(self.log), self.output()[-6000:]
