"""A version of a service that may do some things wrong: standard library only.

  version.py NAME --env FILE [--failing PERCENT] [--only PATH] [--slow MS]      listens on 127.0.0.1:$PORT

Answers "NAME\\n" to everything, /delay/MS after so many milliseconds. With --failing every so many requests in a hundred
are answered with 500, evenly spread (with --only: of this path); with --slow /delay/MS takes so long instead.
"""

import asyncio
import json
import os
import sys


class Version:
    def __init__(self, name, options):
        self.name = name.encode()
        self.failing = float(options.get("--failing", 0))
        self.only = options.get("--only")
        self.slow = options.get("--slow")
        self.debt = 0.0

    def fails(self, path):
        if not self.failing or (self.only and path != self.only):
            return False
        self.debt += self.failing / 100
        if self.debt < 1:
            return False
        self.debt -= 1
        return True

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode("latin-1").split("?")[0]
                parts = path.split("/")
                if parts[1] == "delay":
                    await asyncio.sleep(float(self.slow or parts[2]) / 1000)
                status = b"500 Wrong" if self.fails(path) else b"200 OK"
                body = self.name + b"\n"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main():
    arguments = sys.argv[1:]
    name = arguments.pop(0)
    options = dict(zip(arguments[::2], arguments[1::2]))
    version = Version(name, options)
    listening = await asyncio.start_server(version.serve, "127.0.0.1", int(os.environ["PORT"]))
    with open(options["--env"] + ".new", "w") as file:
        json.dump(dict(os.environ, PID=str(os.getpid())), file)
    os.rename(options["--env"] + ".new", options["--env"])
    async with listening:
        await listening.serve_forever()

if __name__ == "__main__":
    asyncio.run(main())
