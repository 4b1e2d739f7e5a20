"""A name server on loopback, over UDP and TCP, that answers what a test has it answer."""

import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
UDP_BYTES = 512


class NameServer:
    """Records by name; `fail` makes a name fail instead. Names that nobody has given are not there."""

    def __init__(self, host="127.0.0.1"):
        self.records, self.faults, self.counts = {}, {}, {}
        self.lock = threading.Lock()
        self.tcp_questions = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host, self.tcp = host, socket.create_server((host, 0), family=family)
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((host, self.port))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def set(self, name, *addresses, ttl=1, alias=None):
        """From now on the name has these addresses; with `alias` by way of that name."""
        with self.lock:
            self.faults.pop(name, None)
            self.records[name] = (addresses, ttl, alias)

    def fail(self, name, fault):
        """From now on questions for the name are answered with this code, or not at all (`None`)."""
        with self.lock:
            self.faults[name] = fault

    def asked(self, name):
        """How many questions for the name there have been."""
        with self.lock:
            return self.counts.get(name, 0)

    def stop(self):
        self.udp.close()
        self.tcp.close()

    def _serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            answer = self._answer(question)
            if answer and len(answer) > UDP_BYTES:
                # Truncated: the header with TC, and the question.
                answer = answer[:2] + b"\x87\x80" + answer[4:6] + bytes(6) + question[12:]
            if answer:
                self.udp.sendto(answer, peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        with connection:
            connection.settimeout(20)
            stream = connection.makefile("rb")
            try:
                while length := stream.read(2):
                    answer = self._answer(stream.read(struct.unpack("!H", length)[0]))
                    with self.lock:
                        self.tcp_questions += 1
                    if answer:
                        connection.sendall(struct.pack("!H", len(answer)) + answer)
            except OSError:
                return

    def _answer(self, question):
        labels, place = [], 12
        while question[place]:
            labels.append(question[place + 1:place + 1 + question[place]].decode())
            place += 1 + question[place]
        name = ".".join(labels)
        kind = struct.unpack("!H", question[place + 1:place + 3])[0]
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            if name in self.faults:
                code, found = self.faults[name], ((), 0, None)
                if code is None:
                    return None
            else:
                code, found = (NOERROR, self.records[name]) if name in self.records else (NXDOMAIN, ((), 0, None))
        addresses, ttl, alias = found
        records, owner = [], b"\xc0\x0c"
        if alias:
            target = b"".join(bytes([len(part)]) + part.encode() for part in alias.split(".")) + b"\0"
            records.append(owner + struct.pack("!HHIH", 5, 1, ttl, len(target)) + target)
            owner = target
        for text in addresses:
            packed = ipaddress.ip_address(text).packed
            if (kind == A) == (len(packed) == 4) and kind in (A, AAAA):
                records.append(owner + struct.pack("!HHIH", kind, 1, ttl, len(packed)) + packed)
        head = question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(records), 0, 0)
        return head + question[12:place + 5] + b"".join(records)
