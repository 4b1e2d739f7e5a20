"""Connections with HTTP/2 from their beginning to their end: an upgrade that is not taken up, peers that fall silent, GOAWAY."""

import json
import os
import signal
import sys

import pytest

from support import http2, raw
from support.http2 import ACK, GOAWAY, LARGEST_WINDOW, NO_ERROR, PING, Listener, Server, data, headers, ping
from support.processes import APPS, Program, free_port
from support.sidecars import Hop, Pair

SHORT = ("--limit", "ping-seconds=1", "--limit", "ping-answer-seconds=2")


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    """An application that speaks HTTP/1.1."""
    port, folder = free_port(), tmp_path_factory.mktemp("connections")
    program = Program([sys.executable, os.path.join(APPS, "server.py"), "server"], str(folder / "log"),
                      {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.Connection(port).socket.close() is None, 15)
    yield port
    program.stop()


def test_an_upgrade_to_h2c_goes_on_as_http_1(application, tmp_path):
    """Nothing of it reaches the application, and the connection serves the next request."""
    with Pair(tmp_path, application) as pair, raw.Connection(pair.port) as connection:
        for _ in range(2):
            connection.request("GET", "/headers", [
                ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
            answer = connection.response()
            assert answer.status == 200 and answer.header("upgrade") is None, answer
            names = {name.lower() for name, _ in json.loads(answer.body)["fields"]}
            assert names.isdisjoint({"upgrade", "http2-settings", "connection"}), names


def is_ping(frame):
    return frame.type == PING and not frame.flags & ACK


def test_a_client_that_falls_silent_is_asked_and_then_given_up(application, tmp_path):
    """As long as it answers it may be silent for as long as it likes."""
    with Hop(tmp_path, application, arguments=SHORT) as hop, http2.Client(hop.port, 30) as client:
        stream = client.request("/hash", "POST", end=False)
        asked = client.until(is_ping)
        client.send(ping(asked.payload, flags=ACK))
        client.send(data(stream, b"hello", end=True))
        assert json.loads(client.answer(stream).body)["length"] == 5
        client.request("/hash", "POST", end=False)
        client.until(is_ping)
        with pytest.raises(http2.Closed):
            while True:
                client.frame()
        raw.eventually(lambda: hop.client.metric("apus_requests_active") == 0)


def test_an_endpoint_that_falls_silent_is_asked_and_then_given_up(tmp_path):
    with Listener(30) as listener, Hop(tmp_path, listener.port, "http2", arguments=SHORT) as hop, \
            raw.Connection(hop.port) as client:
        client.request("GET", "/")
        with Server(listener.accept(), 30) as server:
            called = server.next_request()
            asked = server.until(is_ping)
            server.send(ping(asked.payload, flags=ACK))
            server.send(headers(called, [(":status", "200"), ("content-length", "5")], end=False))
            # The answer has begun, and no more of it comes: its reader is not to take that for a whole one.
            with pytest.raises(EOFError):
                client.response()
            with pytest.raises(http2.Closed):
                while True:
                    server.frame()


def test_goaway_comes_twice_when_a_proxy_ends(application, tmp_path):
    """What was asked for before the second one is answered, also where it was on its way when the first one came."""
    with Hop(tmp_path, application) as hop, http2.Client(hop.port, 30) as client:
        first = client.request("/delay/1500")
        client.barrier()
        hop.client.process.send_signal(signal.SIGTERM)
        told = client.until(lambda frame: frame.type == GOAWAY)
        assert (told.number(), told.number(4)) == (LARGEST_WINDOW, NO_ERROR)
        # The client has not seen it yet, as far as the proxy knows: it asks once more, and then answers the PING.
        asked = client.until(is_ping)
        second = client.request("/delay/100")
        client.send(ping(asked.payload, flags=ACK))
        told = client.until(lambda frame: frame.type == GOAWAY)
        assert (told.number(), told.number(4)) == (second, NO_ERROR)
        for stream in (first, second):
            answer = client.answer(stream)
            assert (answer.status, answer.ended, answer.reset) == (200, True, None), answer
        with pytest.raises(http2.Closed):
            while True:
                client.frame()
    assert hop.client.process.wait(30) == 0
