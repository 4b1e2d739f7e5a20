"""A collector of OpenTelemetry's data for tests: OTLP over gRPC and over HTTP, in this process, on loopback."""

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

from . import raw


def plain(value):
    """An AnyValue as Python has it."""
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def attributes(item):
    return {pair.key: plain(pair.value) for pair in item.attributes}


class Span:
    """A span with the resource that it came from."""

    def __init__(self, resource, span):
        self.resource, self.span, self.attributes = attributes(resource), span, attributes(span)
        self.service = self.resource["service.name"]
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.is_server = span.kind == 2
        self.events = [(event.name, attributes(event)) for event in span.events]

    def __repr__(self):
        return f"<{self.service} {self.span.name} {self.id} below {self.parent or 'nothing'} {self.attributes}>"


class Collector:
    """Takes everything; `failing` answers so many requests with an error first. With a certificate (trustme's) by TLS."""

    def __init__(self, leaf=None, address="127.0.0.1", ports=None):
        self.lock = threading.Lock()
        self.spans, self.metrics, self.records, self.requests, self.fields = [], [], [], 0, []
        self.failing = 0
        self.grpc = grpc.server(ThreadPoolExecutor(4))
        outer = self

        class Traces(traces_grpc.TraceServiceServicer):
            def Export(self, request, context):
                outer.take("/v1/traces", request, dict(context.invocation_metadata()), context)
                return traces.ExportTraceServiceResponse()

        class Metrics(metrics_grpc.MetricsServiceServicer):
            def Export(self, request, context):
                outer.take("/v1/metrics", request, dict(context.invocation_metadata()), context)
                return metrics.ExportMetricsServiceResponse()

        class Logs(logs_grpc.LogsServiceServicer):
            def Export(self, request, context):
                outer.take("/v1/logs", request, dict(context.invocation_metadata()), context)
                return logs.ExportLogsServiceResponse()

        traces_grpc.add_TraceServiceServicer_to_server(Traces(), self.grpc)
        metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), self.grpc)
        logs_grpc.add_LogsServiceServicer_to_server(Logs(), self.grpc)
        ports = ports or {"grpc": 0, "http": 0}
        place = f"{address}:{ports['grpc']}"
        if leaf:
            chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
            self.grpc_port = self.grpc.add_secure_port(
                place, grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)]))
        else:
            self.grpc_port = self.grpc.add_insecure_port(place)
        self.grpc.start()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            kinds = {"/v1/traces": traces.ExportTraceServiceRequest, "/v1/metrics": metrics.ExportMetricsServiceRequest,
                     "/v1/logs": logs.ExportLogsServiceRequest}

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                path = self.path.removeprefix("/otlp")
                request = self.kinds[path].FromString(body)
                assert self.headers["content-type"] == "application/x-protobuf"
                status = 200 if outer.take(path, request, dict(self.headers.items())) else 503
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Nobody reads it."""

        self.http = ThreadingHTTPServer((address, ports["http"]), Handler)
        if leaf:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            # Each connection shakes hands in its own thread.
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.http_port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def take(self, path, request, fields, context=None):
        with self.lock:
            self.requests += 1
            self.fields.append({name.lower(): value for name, value in fields.items()})
            if self.failing > 0:
                self.failing -= 1
                if context:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "later")
                return False
            if path == "/v1/traces":
                self.spans += [Span(group.resource, span) for group in request.resource_spans
                               for scope in group.scope_spans for span in scope.spans]
            elif path == "/v1/metrics":
                self.metrics += [(attributes(group.resource), metric) for group in request.resource_metrics
                                 for scope in group.scope_metrics for metric in scope.metrics]
            else:
                self.records += [(attributes(group.resource), record) for group in request.resource_logs
                                 for scope in group.scope_logs for record in scope.log_records]
        return True

    def wait(self, wanted, seconds=10):
        """The spans for which `wanted` holds, once there are any."""
        return raw.eventually(lambda: [span for span in list(self.spans) if wanted(span)], seconds)

    def trace(self, number, count):
        """The spans of a trace once there are so many."""
        def found():
            spans = [span for span in list(self.spans) if span.trace == number]
            return spans if len(spans) >= count else None
        return raw.eventually(found, 10)

    def stop(self):
        self.grpc.stop(None)
        self.http.shutdown()
        self.http.server_close()
