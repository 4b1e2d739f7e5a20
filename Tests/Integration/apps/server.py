"""An ordinary HTTP/1.1 server that knows nothing of a mesh: standard library only, many requests a second.

  server.py NAME [--record FILE] [--env FILE]      listens on 127.0.0.1:$PORT
            [--fail SHARE] [--status N] [--wait MS]   answers that share with 500, or with N; waits so long before
                                                      every answer
            [--work MS [--workers N]]                 N threads (1) do what is asked, one request at a time each, and take
                                                      so long for each; the others wait in a queue

Everything it receives is appended to the record, byte for byte. Paths:

  /                  "NAME\\n"
  /status/N          that status
  /delay/MS          answers after so many milliseconds
  /bytes/N           N bytes of a known pattern (see `pattern`)
  /hash              SHA-256 and length of the request's body
  /headers           what arrived: method, target, header fields in order
  /trailers          a chunked body with trailer fields; what trailers arrived is in x-received-trailers
  /raw/HEX[/close]   exactly these bytes, whatever they are; closes the connection after them if told to
  /upgrade           101 (as RFC 6455 has it, if there is a key), then echoes
  /stall/MS          reads nothing of the request's body for so many milliseconds
  /expect            like /hash, saying "100 Continue" only after a moment
  /abort             closes the connection without an answer
  /stop-after/N      promises N bytes, sends half of them, closes
  /counts            how often each path was asked for (not counted itself)
"""

import asyncio
import base64
import collections
import concurrent.futures
import hashlib
import json
import os
import sys
import time

PIECE = bytes(range(256)) * 256


def pattern(offset, length):
    """`length` bytes of the endless pattern 0, 1, … 255, 0, … from an offset."""
    start = offset % 256
    return (PIECE * ((start + length) // len(PIECE) + 1))[start:start + length]


class Reader:
    """Bytes of one connection, recorded as they come."""

    def __init__(self, stream, record):
        self.stream, self.record, self.buffer = stream, record, bytearray()

    async def more(self):
        data = await self.stream.read(262144)
        if self.record and data:
            self.record.write(data)
            self.record.flush()
        self.buffer += data
        return bool(data)

    async def until(self, mark):
        while (at := self.buffer.find(mark)) < 0:
            if not await self.more():
                return None
        found = bytes(self.buffer[:at])
        del self.buffer[:at + len(mark)]
        return found

    async def exactly(self, count, sink):
        while count > 0:
            if not self.buffer and not await self.more():
                raise ConnectionError("the body ended early")
            part = self.buffer[:count]
            del self.buffer[:len(part)]
            sink(bytes(part))
            count -= len(part)


class Server:
    def __init__(self, name, record, fail=0.0, status="500", wait=0.0, work=0.0, workers=1):
        self.name, self.record, self.wait, self.work = name.encode(), record, wait, work
        # Threads, because the timers of asyncio end at whole milliseconds: they would be slower the more else happens.
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)
        self.fail, self.status, self.owed = fail, status.encode(), 0.0
        self.counts = collections.Counter()

    async def serve(self, stream, writer):
        reader = Reader(stream, self.record)
        try:
            while True:
                head = await reader.until(b"\r\n\r\n")
                if head is None:
                    break
                if not await self.answer(head, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def body(self, fields, reader, writer, sink, wait=0.0):
        """Reads the request's body into `sink`; returns the trailer fields."""
        if fields.get(b"expect", b"").lower() == b"100-continue":
            await asyncio.sleep(wait)
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            while True:
                line = await reader.until(b"\r\n")
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                await reader.exactly(size, sink)
                await reader.until(b"\r\n")
            trailers = []
            while line := await reader.until(b"\r\n"):
                trailers.append(line)
            return trailers
        await reader.exactly(int(fields.get(b"content-length", b"0")), sink)
        return []

    def reply(self, writer, body, status=b"200 OK", extra=b"", head_only=False):
        length = b"" if status.startswith(b"204") else b"\r\nContent-Length: " + str(len(body)).encode()
        writer.write(b"HTTP/1.1 " + status + length + b"\r\nX-Server: " + self.name + b"\r\n" + extra + b"\r\n" + (b"" if head_only else body))

    async def answer(self, head, reader, writer):
        lines = head.split(b"\r\n")
        method, target, _ = lines[0].split(b" ", 2)
        pairs = [line.split(b":", 1) for line in lines[1:]]
        fields = {name.lower(): value.strip() for name, value in pairs}
        path = target.split(b"?")[0]
        if path == b"/counts":
            self.reply(writer, json.dumps(self.counts).encode())
            return True
        self.counts[path.decode("latin-1")] += 1
        parts = path.split(b"/")
        kind = parts[1] if len(parts) > 1 else b""
        if kind == b"upgrade" and b"upgrade" in fields:
            return await self.upgrade(fields, reader, writer)
        digest, length = hashlib.sha256(), 0

        def sink(data):
            nonlocal length
            digest.update(data)
            length += len(data)
        if kind == b"stall":
            await asyncio.sleep(int(parts[2]) / 1000)
        trailers = await self.body(fields, reader, writer, sink, wait=0.05 if kind == b"expect" else 0)
        is_head = method == b"HEAD"
        if self.wait:
            await asyncio.sleep(self.wait)
        if self.work:
            await asyncio.get_running_loop().run_in_executor(self.pool, time.sleep, self.work)
        self.owed += self.fail
        if self.owed >= 1:
            self.owed -= 1
            self.reply(writer, self.name + b"\n", self.status + b" Told", head_only=is_head)
            await writer.drain()
            return True
        if kind == b"status":
            self.reply(writer, self.name + b"\n", parts[2] + b" Told", head_only=is_head or parts[2] in (b"204", b"304"))
        elif kind == b"delay":
            await asyncio.sleep(int(parts[2]) / 1000)
            self.reply(writer, self.name + b"\n", head_only=is_head)
        elif kind == b"bytes":
            await self.send_bytes(writer, int(parts[2]), head_only=is_head)
        elif kind in (b"hash", b"expect"):
            self.reply(writer, json.dumps({"sha256": digest.hexdigest(), "length": length}).encode())
        elif kind == b"headers":
            self.reply(writer, json.dumps({
                "method": method.decode(), "target": target.decode("latin-1"),
                "fields": [[n.decode("latin-1"), v.strip().decode("latin-1")] for n, v in pairs]}).encode())
        elif kind == b"trailers":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nX-Received-Trailers: "
                         + b", ".join(trailers) + b"\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n")
        elif kind == b"raw":
            writer.write(bytes.fromhex(parts[2].decode()))
            await writer.drain()
            return not (len(parts) > 3 and parts[3] == b"close")
        elif kind == b"abort":
            return False
        elif kind == b"stop-after":
            promised = int(parts[2])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + parts[2] + b"\r\n\r\n" + pattern(0, promised // 2))
            await writer.drain()
            return False
        else:
            self.reply(writer, self.name + b"\n", head_only=is_head)
        await writer.drain()
        return fields.get(b"connection", b"").lower() != b"close"

    async def send_bytes(self, writer, count, head_only):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + str(count).encode() + b"\r\n\r\n")
        sent = count if head_only else 0
        while sent < count:
            piece = min(262144, count - sent)
            writer.write(pattern(sent, piece))
            sent += piece
            await writer.drain()

    async def upgrade(self, fields, reader, writer):
        accept = b""
        if key := fields.get(b"sec-websocket-key"):
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            accept = b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                     + fields[b"upgrade"] + b"\r\n" + accept + b"\r\n")
        while True:
            if reader.buffer:
                writer.write(bytes(reader.buffer))
                reader.buffer.clear()
                await writer.drain()
            if not await reader.more():
                return False


async def main():
    arguments = sys.argv[1:]
    name = arguments.pop(0)
    files = dict(zip(arguments[::2], arguments[1::2]))
    record = open(files["--record"], "ab") if "--record" in files else None
    server = Server(name, record, float(files.get("--fail", 0)), files.get("--status", "500"),
                    float(files.get("--wait", 0)) / 1000, float(files.get("--work", 0)) / 1000,
                    int(files.get("--workers", 1)))
    listening = await asyncio.start_server(
        server.serve, os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]), backlog=2048)
    if "--env" in files:
        with open(files["--env"] + ".new", "w") as file:
            json.dump(dict(os.environ, PID=str(os.getpid())), file)
        os.rename(files["--env"] + ".new", files["--env"])
    async with listening:
        await listening.serve_forever()

if __name__ == "__main__":
    asyncio.run(main())
