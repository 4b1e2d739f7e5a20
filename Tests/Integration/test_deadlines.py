"""How long a request may take: what is configured, what the caller still waits for, what the next hop is told."""

import json
import time

import pytest

from support import raw
from support.mesh import policy

EXPECTED = "x-envoy-expected-rq-timeout-ms"


@pytest.fixture
def pair(mesh, namespace):
    server = mesh.quick_server(namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    return client, server


def told(client, fields=()):
    """What the application was told of the time that is left: milliseconds, and `grpc-timeout`."""
    seen = json.loads(client.get("http://server/headers", fields=fields).body)["fields"]
    values = {}
    for name, value in seen:
        assert name.lower() not in values or name.lower() not in (EXPECTED, "grpc-timeout"), seen
        values[name.lower()] = value
    return values.get(EXPECTED), values.get("grpc-timeout")


@pytest.mark.parametrize("field", [(EXPECTED, "300"), ("grpc-timeout", "300m"), ("grpc-timeout", "300000u")])
def test_the_callers_deadline_ends_a_request(pair, field):
    client, _ = pair
    begin = time.monotonic()
    answer = client.get("http://server/delay/8000", fields=[field])
    assert answer.status == 504 and answer.reason == "caller_deadline_exceeded", answer
    assert 0.25 < time.monotonic() - begin < 7
    enough = (field[0], "20000m" if field[0] == "grpc-timeout" else "20000")
    assert client.get("http://server/delay/50", fields=[enough]).status == 200


def test_the_next_hop_is_told_what_is_left(mesh, namespace, pair):
    client, _ = pair
    assert told(client) == (None, None), "where nothing is set nothing is told"
    milliseconds, grpc = told(client, [(EXPECTED, "20000")])
    assert 10_000 < int(milliseconds) <= 20_000 and grpc is None
    milliseconds, grpc = told(client, [("Grpc-Timeout", "20S"), (EXPECTED, "30000")])
    assert 10_000 < int(milliseconds) <= 20_000
    assert grpc[-1] == "u" and 10_000_000 < int(grpc[:-1]) <= 20_000_000
    assert told(client, [("grpc-timeout", "soon"), (EXPECTED, "-1")]) == (None, "soon"), "nonsense means nothing"

    mesh.apply(policy("server", namespace, timeouts={"request": "15s"}))
    raw.eventually(lambda: told(client)[0] is not None)
    assert 5_000 < int(told(client, [(EXPECTED, "600000")])[0]) <= 15_000, "the configured one is shorter"
    assert int(told(client, [(EXPECTED, "9000")])[0]) <= 9_000


def test_a_try_has_a_limit_of_its_own_and_less_is_left_for_the_next(mesh, namespace, pair):
    client, server = pair
    mesh.apply(policy("server", namespace, timeouts={"request": "30s"},
                      retry={"attempts": 1, "perTryTimeout": "400ms", "backoff": "1ms"}))

    def limited():
        answer = client.get("http://server/delay/5000", seconds=20)
        return answer if answer.reason == "per_try_timeout" else None
    answer = raw.eventually(limited, 30)
    assert answer.status == 504
    assert client.get("http://server/delay/4000", seconds=20).reason == "per_try_timeout"
    assert server.counts()["/delay/4000"] == 2, "one try, and one more"
    assert client.get("http://server/delay/100").status == 200
