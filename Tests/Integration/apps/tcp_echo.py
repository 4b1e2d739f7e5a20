"""A TCP server without a protocol: sends back what it gets, and a farewell when the other side has finished sending.

  tcp_echo.py ENVFILE
"""

import asyncio
import json
import os
import sys


async def serve(reader, writer):
    count = 0
    while data := await reader.read(65536):
        count += len(data)
        writer.write(data)
        await writer.drain()
    writer.write(b"bye %d\n" % count)
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    with open(sys.argv[1] + ".new", "w") as file:
        json.dump(dict(os.environ, PID=str(os.getpid())), file)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    async with server:
        await server.serve_forever()

asyncio.run(main())
