"""A server that sends the head and the body of an answer apart, with Nagle's algorithm on, as many frameworks do.

  two_writes.py ENVFILE
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"in two writes\n"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers)
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(dict(os.environ, PID=str(os.getpid())), file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
