"""An application that answers what it saw, as JSON: HTTP/1.1, the same under TLS, TCP, and any gRPC call.

  echo.py NAME NAMESPACE ADDRESS READYFILE [CERTIFICATE KEY]

Listens on ADDRESS: 8080 HTTP, 8443 HTTP under TLS (with a certificate), 9090 TCP, 7070 gRPC.
"""

import json
import os
import socketserver
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

NAME, NAMESPACE, ADDRESS, READY = sys.argv[1:5]


def seen(**what):
    return json.dumps({"pod": NAME, "namespace": NAMESPACE, **what}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("latin-1")
        headers = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        answer = seen(method=self.command, path=self.path, host=self.headers.get("Host"), headers=headers, body=body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Access-Control-Allow-Origin", "https://from-the-application.example")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class TCP(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(NAME.encode() + b"\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class AnyCall(grpc.GenericRpcHandler):
    def service(self, details):
        def answer(_, context):
            headers = {}
            for name, value in context.invocation_metadata():
                headers.setdefault(name, []).append(value if isinstance(value, str) else "binary")
            return seen(method=details.method, headers=headers)
        return grpc.unary_unary_rpc_method_handler(answer)


def start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    socketserver.TCPServer.allow_reuse_address = True
    start(ThreadingHTTPServer((ADDRESS, 8080), Handler))
    if len(sys.argv) > 5:
        secure = ThreadingHTTPServer((ADDRESS, 8443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[5], sys.argv[6])
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        start(secure)
    start(socketserver.ThreadingTCPServer((ADDRESS, 9090), TCP))
    calls = grpc.server(futures.ThreadPoolExecutor(8), handlers=[AnyCall()], options=[("grpc.so_reuseport", 0)])
    calls.add_insecure_port(f"{ADDRESS}:7070")
    calls.start()
    with open(READY + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(READY + ".new", READY)
    calls.wait_for_termination()


main()
