"""Servers outside the mesh that do exactly one wrong thing, by the path that they are asked for."""

import socket
import threading

from .http2 import REFUSED_STREAM, Server, reset


class Scripted:
    """A TCP server; `answer(head)` gives the bytes to send back, after which the connection is closed."""

    def __init__(self, answer, address="127.0.0.1"):
        self.answer = answer
        self.socket = socket.create_server((address, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(20)
            try:
                self.answer(connection)
            except (OSError, EOFError, AssertionError):
                pass

    def close(self):
        self.socket.close()


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65536)
        if not data:
            raise EOFError("no head")
        head += data
    return head


def endless_head(connection):
    """An answer whose head is over every limit."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(90)) + b"\r\n")
    connection.recv(1)


def refuses_streams(connection):
    """A server of HTTP/2 that refuses every request without looking at it."""
    server = Server(connection)
    while True:
        stream = server.next_request()
        server.send(reset(stream, REFUSED_STREAM))


def knows_no_http2(connection):
    """A server of HTTP/1.1, which takes the preface of HTTP/2 for a request that is none."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.recv(65536)


class Deaf:
    """A port that takes no connection: its backlog is full, and what comes then is dropped by the kernel."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.waiting = []
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", self.port))
            self.waiting.append(other)

    def close(self):
        for other in self.waiting + [self.socket]:
            other.close()
