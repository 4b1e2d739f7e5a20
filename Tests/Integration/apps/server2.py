"""An HTTP/2 server (cleartext, prior knowledge) that knows nothing of a mesh; on PyPI's h2.

  server2.py NAME [--env FILE] [--wait MS]      listens on 127.0.0.1:$PORT; waits so long before every answer

Paths:

  /                  "NAME\\n"
  /status/N          that status
  /delay/MS          answers after so many milliseconds
  /bytes/N           N bytes of the pattern 0, 1, … 255, 0, …
  /hash              SHA-256 and length of the request's body
  /headers           what arrived: pseudo-header fields and fields in order
  /trailers          a body with trailer fields; what trailers arrived is in x-received-trailers
  /stop-after/N      promises N bytes, sends half of them, resets the stream
  /endless           a body that never ends; /progress says how much of it was sent, and whether it was cancelled
  /early             answers 200 before it has read the request's body
  CONNECT            with :protocol (RFC 8441): echoes
  /streams           how many connections and streams this server has seen, and how many were reset
  /counts            how often each path was asked for (not counted itself), and body bytes that came with each
"""

import asyncio
import collections
import hashlib
import json
import os
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

PIECE = bytes(range(256)) * 64


class Stream:
    def __init__(self, fields):
        self.fields = fields
        self.pseudo = {name: value for name, value in fields if name.startswith(":")}
        self.digest, self.length, self.trailers = hashlib.sha256(), 0, []
        self.room = asyncio.Event()
        self.task = None


class Connection(asyncio.Protocol):
    seen, counts, received = collections.Counter(), collections.Counter(), collections.Counter()

    def __init__(self, name, wait=0.0):
        self.name, self.wait, self.streams = name, wait, {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport):
        self.transport, self.writable = transport, asyncio.Event()
        self.writable.set()
        self.seen["connections"] += 1
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        self.flush()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def connection_lost(self, _):
        self.writable.set()
        for stream in self.streams.values():
            if stream.task:
                stream.task.cancel()

    def flush(self):
        if data := self.h2.data_to_send():
            self.transport.write(data)

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            print("protocol error:", error, file=sys.stderr, flush=True)
            self.flush()
            return self.transport.close()
        for event in events:
            self.handle(event)
        self.flush()
        return None

    def handle(self, event):
        number = getattr(event, "stream_id", 0)
        stream = self.streams.get(number)
        if isinstance(event, h2.events.RequestReceived):
            self.seen["streams"] += 1
            stream = self.streams[number] = Stream(event.headers)
            if ":protocol" in stream.pseudo or stream.pseudo[":path"] == "/early":
                stream.task = asyncio.create_task(self.answer(number, stream))
        elif isinstance(event, h2.events.DataReceived):
            if ":protocol" in stream.pseudo:
                self.h2.send_data(number, event.data)
            stream.digest.update(event.data)
            stream.length += len(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            if ":protocol" in stream.pseudo:
                self.h2.end_stream(number)
            elif not stream.task:
                stream.task = asyncio.create_task(self.answer(number, stream))
        elif isinstance(event, h2.events.StreamReset):
            self.seen["resets"] += 1
            if stream and stream.task:
                stream.task.cancel()
            self.streams.pop(number, None)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for other in self.streams.values():
                other.room.set()

    async def answer(self, number, stream):
        try:
            await self.reply(number, stream)
        except (h2.exceptions.ProtocolError, KeyError):
            pass
        self.flush()

    async def send(self, number, stream, body):
        """Sends body bytes as the windows allow."""
        while body:
            await self.writable.wait()
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body))
            if room <= 0:
                stream.room.clear()
                await stream.room.wait()
                continue
            self.h2.send_data(number, body[:room])
            self.seen["sent"] += room
            self.flush()
            body = body[room:]

    def head(self, number, status=200, *fields, end=False):
        self.h2.send_headers(number, [(":status", str(status)), ("x-server", self.name), *fields], end_stream=end)

    async def reply(self, number, stream):
        if ":protocol" in stream.pseudo:
            return self.head(number, 200, ("x-protocol", stream.pseudo[":protocol"]))
        path = stream.pseudo[":path"].split("?")[0]
        parts = path.split("/")
        kind, status, body = parts[1], 200, (self.name + "\n").encode()
        if kind not in ("counts", "streams"):
            self.counts[path] += 1
            self.received[path] += stream.length
            await asyncio.sleep(self.wait)
        if kind == "delay":
            await asyncio.sleep(int(parts[2]) / 1000)
        elif kind == "status":
            status = int(parts[2])
        elif kind == "hash":
            body = json.dumps({"sha256": stream.digest.hexdigest(), "length": stream.length}).encode()
        elif kind == "headers":
            body = json.dumps(stream.fields).encode()
        elif kind == "streams":
            body = json.dumps(self.seen).encode()
        elif kind == "counts":
            body = json.dumps({"requests": self.counts, "bytes": self.received}).encode()
        elif kind == "trailers":
            received = ", ".join(f"{name}: {value}" for name, value in stream.trailers)
            self.head(number, 200, ("x-received-trailers", received))
            await self.send(number, stream, b"hello world")
            return self.h2.send_headers(number, [("x-sum", "11")], end_stream=True)
        elif kind in ("bytes", "stop-after"):
            count = int(parts[2])
            self.head(number, 200, ("content-length", str(count)))
            left = count if kind == "bytes" else count // 2
            sent = 0
            while sent < left:
                piece = PIECE[:left - sent]
                await self.send(number, stream, piece)
                sent += len(piece)
            return self.h2.end_stream(number) if kind == "bytes" else self.h2.reset_stream(number, 2)
        elif kind == "endless":
            self.head(number)
            while True:
                await self.send(number, stream, PIECE)
        bodiless = status in (204, 304) or stream.pseudo[":method"] == "HEAD"
        length = () if status == 204 else (("content-length", str(len(body))),)
        self.head(number, status, *length, end=bodiless)
        if not bodiless:
            await self.send(number, stream, body)
            self.h2.end_stream(number)
        return None


async def main():
    arguments = sys.argv[1:]
    name = arguments.pop(0)
    files = dict(zip(arguments[::2], arguments[1::2]))
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(name, float(files.get("--wait", 0)) / 1000), "127.0.0.1", int(os.environ["PORT"]), backlog=2048)
    if "--env" in files:
        with open(files["--env"] + ".new", "w") as file:
            json.dump(dict(os.environ, PID=str(os.getpid())), file)
        os.rename(files["--env"] + ".new", files["--env"])
    async with listening:
        await listening.serve_forever()

if __name__ == "__main__":
    asyncio.run(main())
