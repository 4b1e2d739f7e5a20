"""A service that calls the next one: standard library only.

  relay.py NAME --env FILE        listens on 127.0.0.1:$PORT

GET /via/b/via/c/status/200 asks http://b/via/c/status/200 through $HTTP_PROXY, passing on what tracing needs
(traceparent, tracestate, baggage, b3), and answers with what comes back. Other paths are answered with "NAME\\n", and
/fields with the header fields as JSON.
"""

import http.client
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ("traceparent", "tracestate", "baggage", "b3", "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.split("/")
        if parts[1] == "via":
            proxy = os.environ["HTTP_PROXY"].removeprefix("http://").rstrip("/")
            onward = http.client.HTTPConnection(proxy, timeout=10)
            fields = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            onward.request("GET", f"http://{parts[2]}/{'/'.join(parts[3:])}", headers=fields)
            answer = onward.getresponse()
            status, body = answer.status, answer.read()
            onward.close()
        elif parts[1] == "status":
            status, body = int(parts[2]), sys.argv[1].encode() + b"\n"
        elif parts[1] == "fields":
            status, body = 200, json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        else:
            status, body = 200, sys.argv[1].encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The mesh writes the access log."""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    file = sys.argv[3]
    with open(file + ".new", "w") as output:
        json.dump(dict(os.environ, PID=str(os.getpid())), output)
    os.rename(file + ".new", file)
    server.serve_forever()


main()
