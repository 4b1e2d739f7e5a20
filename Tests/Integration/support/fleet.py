"""Many proxies of one control plane, as far as it can tell: discovery streams that acknowledge what they are sent and come
back when they are cut. One thread, gRPC's asynchronous client."""

import asyncio
import random
import threading

import grpc

from .xds_client import DISCOVER, PROXY, SERVICE, TRUST, WORKLOAD, Response, field

KINDS = (TRUST, PROXY, WORKLOAD, SERVICE)


class Member:
    """One proxy: what it has, by type and name, and how often it connected."""

    def __init__(self, name):
        self.name, self.have, self.connected, self.sent = name, {kind: {} for kind in KINDS}, 0, 0

    def hello(self, kind):
        node = field(1, field(1, self.name) + field(6, "fleet")) if kind == KINDS[0] else b""
        return node + field(2, kind) + field(5, self.have[kind])

    async def live(self, target, credentials):
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        while True:
            try:
                async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
                    call = channel.stream_stream(DISCOVER)()
                    for kind in KINDS:
                        await call.write(self.hello(kind))
                    self.connected += 1
                    async for message in call:
                        response = Response(message)
                        self.sent += len(response.versions)
                        self.have[response.type].update(response.versions)
                        for name in response.removed:
                            self.have[response.type].pop(name, None)
                        await call.write(field(2, response.type) + field(6, response.nonce))
            except grpc.RpcError:
                pass
            # As proxies do, each waits a while of its own before it comes back.
            await asyncio.sleep(random.uniform(0.1, 1))


class Fleet:
    """`count` members with one identity, from entering the `with` block to its end."""

    def __init__(self, port, roots, identity, count):
        self.target = f"127.0.0.1:{port}"
        self.secret = (roots, identity.key_pem, "".join(identity.chain[:2]).encode())
        self.members = [Member(f"fleet-{number:04}") for number in range(count)]

    def __enter__(self):
        started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.work(started)), daemon=True)
        self.thread.start()
        started.wait()
        return self

    async def work(self, started):
        self.loop, self.ending = asyncio.get_running_loop(), asyncio.Event()
        credentials = grpc.ssl_channel_credentials(*self.secret)
        tasks = [asyncio.create_task(member.live(self.target, credentials)) for member in self.members]
        started.set()
        await self.ending.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ending.set)
        self.thread.join(60)
