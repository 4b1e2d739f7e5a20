"""HTTP/1.1 by hand over a socket: what goes out and what comes back, byte for byte."""

import socket
import struct
import time


# How long a wait may take, seconds. Waits end by evidence; this only bounds them where it never comes, and says nothing
# about how quick the machine is.
PATIENCE = 60.0


class Response:
    def __init__(self, status, fields, body, trailers=(), complete=True):
        self.status, self.fields, self.body, self.trailers = status, fields, body, list(trailers)
        self.complete = complete

    def header(self, name):
        """The value of a field, or None; several are joined by a comma."""
        found = [value for key, value in self.fields if key == name.lower()]
        return ", ".join(found) if found else None

    @property
    def reason(self):
        """Why the mesh answered instead of the application, or None."""
        return self.header("x-apus-reason")

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class Connection:
    """One TCP connection; every wait has an end."""

    def __init__(self, port, seconds=30.0, address="127.0.0.1", wrap=None):
        self.socket = socket.create_connection((address, port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrap:
            self.socket = wrap(self.socket)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, fields=(), body=b"", host="server"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
        if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def _more(self):
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"the connection ended within: {self.buffer[:300]!r}")
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def _exactly(self, count):
        parts, have = [self.buffer[:count]], min(count, len(self.buffer))
        self.buffer = self.buffer[count:]
        while have < count:
            if not self._more():
                raise EOFError(f"the body ended after {have} of {count} bytes")
            parts.append(self.buffer[:count - have])
            self.buffer = self.buffer[count - have:]
            have += len(parts[-1])
        return b"".join(parts)

    def response(self, method="GET"):
        """The next response; interim ones (1xx but 101) are passed over and kept in `interim`."""
        self.interim = []
        while True:
            lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200 or status == 101:
                break
            self.interim.append(status)
        fields = [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:])]
        response = Response(status, fields, b"")
        if method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and status == 200):
            return response
        if "chunked" in (response.header("transfer-encoding") or ""):
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                response.body += self._exactly(size)
                self._exactly(2)
            while line := self._until(b"\r\n"):
                response.trailers.append(line.decode("latin-1"))
        elif response.header("content-length") is not None:
            response.body = self._exactly(int(response.header("content-length")))
        else:
            response.body = self.rest()
        return response

    def rest(self):
        """Everything up to the end of the connection."""
        while self._more():
            pass
        found, self.buffer = self.buffer, b""
        return found

    def reset(self):
        """Ends the connection at once, so that the peer is told of a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def is_closed(self, seconds=PATIENCE):
        """Whether the other side ends the connection within the time, sending nothing more."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and not self._more()
        except TimeoutError:
            return False


def get(port, target="/", fields=(), host="server", method="GET", body=b"", seconds=30.0):
    """One request on a connection of its own."""
    with Connection(port, seconds) as connection:
        connection.request(method, target, fields, body, host)
        return connection.response(method)


def eventually(check, seconds=PATIENCE, every=0.05):
    """Waits until `check` returns something true; fails with its last value or error when it does not.

    The patience is a minute at least, whatever is said: what must come sooner is measured and asserted by the test.
    """
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except (OSError, EOFError, AssertionError, KeyError, ValueError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"did not come true within {seconds} s; last: {last!r}")
