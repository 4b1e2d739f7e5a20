"""A collector of spans by OTLP/HTTP as an application of the mesh.

  collect.py --env FILE        listens on 127.0.0.1:$PORT; GET /seen lists [service, kind] of what has come
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SEEN = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        for group in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            SEEN.update((names["service.name"], span.kind) for scope in group.scope_spans for span in scope.spans)
        self.answer(b"")

    def do_GET(self):
        self.answer(json.dumps(sorted(SEEN)).encode())

    def log_message(self, *_):
        """Nobody reads it."""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    file = sys.argv[2]
    with open(file + ".new", "w") as output:
        json.dump(dict(os.environ, PID=str(os.getpid())), output)
    os.rename(file + ".new", file)
    server.serve_forever()


main()
