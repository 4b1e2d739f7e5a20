"""Servers that speak first, as SMTP and MySQL do: standard library only.

  greeter.py smtp|mysql      listens on 127.0.0.1:$PORT

smtp answers each line with a code, and QUIT with 221. mysql sends a greeting packet and answers each packet with OK.
"""

import asyncio
import os
import sys

GREETING = b"\x0a8.0.99-test\0" + bytes(4) + b"saltsalt\0" + b"\xff\xf7\x21\x02\0\xff\x81\x15" + bytes(10) + b"morepepper12\0"


def packet(number, body):
    return len(body).to_bytes(3, "little") + bytes((number,)) + body


async def smtp(reader, writer):
    writer.write(b"220 mail.example ESMTP\r\n")
    while line := await reader.readline():
        word = line.split()[0].upper() if line.split() else b""
        if word == b"QUIT":
            writer.write(b"221 bye\r\n")
            break
        writer.write(b"250 " + word + b"\r\n")
        await writer.drain()


async def mysql(reader, writer):
    writer.write(packet(0, GREETING))
    try:
        while True:
            head = await reader.readexactly(4)
            await reader.readexactly(int.from_bytes(head[:3], "little"))
            writer.write(packet(head[3] + 1, b"\0\0\0\2\0\0\0"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass


async def main():
    speak = {"smtp": smtp, "mysql": mysql}[sys.argv[1]]

    async def serve(reader, writer):
        try:
            await speak(reader, writer)
        except ConnectionError:
            pass
        writer.close()
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()

asyncio.run(main())
