"""A version of a service of gRPC that may fail some calls.

  grpc_version.py NAME --env FILE [--failing PERCENT]      listens on 127.0.0.1:$PORT

Answers NAME to /test.Name/Get; with --failing every so many calls in a hundred end with INTERNAL, evenly spread.
"""

import json
import os
import sys
import threading
from concurrent import futures

import grpc


class Version(grpc.GenericRpcHandler):
    def __init__(self, name, failing):
        self.name, self.failing, self.debt, self.lock = name.encode(), failing / 100, 0.0, threading.Lock()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.get) if details.method == "/test.Name/Get" else None

    def get(self, _, context):
        with self.lock:
            self.debt += self.failing
            fails = self.debt >= 1
            self.debt -= fails
        if fails:
            context.abort(grpc.StatusCode.INTERNAL, "wrong")
        return self.name


def main():
    arguments = sys.argv[1:]
    name = arguments.pop(0)
    options = dict(zip(arguments[::2], arguments[1::2]))
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Version(name, float(options.get("--failing", 0))),))
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    with open(options["--env"] + ".new", "w") as file:
        json.dump(dict(os.environ, PID=str(os.getpid())), file)
    os.rename(options["--env"] + ".new", options["--env"])
    server.wait_for_termination()


if __name__ == "__main__":
    main()
