"""What happened to requests: the counts of the control plane, single decisions, and why."""

import itertools
import json

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from support import raw
from support.mesh import backend, policy, route, version_service

SPACE = "seeing"


@pytest.fixture(name="shop", scope="module")
def fixture_shop(shared_mesh):
    mesh = shared_mesh
    server = mesh.server(version="v1", namespace=SPACE)
    client = mesh.client(namespace=SPACE)
    mesh.wait_for(client, "http://server/")
    yield mesh, client, server
    for workload in (client, server):
        mesh.stop_workload(workload)


def why(mesh, *arguments):
    return json.loads(mesh.cli("why", *arguments, "-o", "json").stdout)


def ask(client, url, request_id):
    return client.get(url, fields=[("x-request-id", request_id)])


def test_known_numbers_are_counted_by_edge_route_and_reason(shop):
    mesh, client, _ = shop
    mesh.apply(route("server", {"name": "missing", "matches": [{"path": {"type": "PathPrefix", "value": "/gone"}}],
                                "backendRefs": [backend("nowhere")]},
                     {"name": "rest", "backendRefs": [backend("server")]}, namespace=SPACE), namespace=SPACE)
    mesh.wait_for(client, "http://server/gone", status=500)
    before = settled(mesh, client)
    for _ in range(7):
        assert client.get("http://server/fine").status == 200
    for _ in range(3):
        assert client.get("http://server/gone").status == 500

    def counted():
        after = counts(mesh)
        assert after["rest"]["requests"] - before.get("rest", {}).get("requests", 0) == 7
        assert after["missing"]["requests"] - before["missing"]["requests"] == 3
        assert after["missing"]["failures"] == after["missing"]["requests"]
        assert after["missing"]["reasons"] == {"backend_not_found": after["missing"]["requests"]}
        return True
    raw.eventually(counted, 10)
    edges = json.loads(mesh.cli("edges", "-n", SPACE, "-o", "json").stdout)["items"]
    secured = [edge for edge in edges if edge["service"] == "server" and edge["workload"]]
    assert secured and all(edge["mutualTLS"] for edge in secured)
    assert {edge["sourceIdentity"] for edge in secured} == {"spiffe://cluster.local/ns/seeing/sa/client"}
    status, history = mesh.api("GET", "/apis/apus.dev/v1/history?to=seeing/server&window=600&step=600")
    assert status == 200
    assert sum(point["requests"] for point in history["items"]) == sum(row["requests"] for row in counts(mesh).values())
    mesh.cli("delete", "httproute", "server", "-n", SPACE)


def settled(mesh, client):
    """The counts once the control plane has been told of everything that the client's proxy has counted."""
    def found():
        rows = counts(mesh)
        counted = sum(sample.value for family in parse(client.admin("/metrics").body.decode()) for sample in family.samples
                      if sample.name == "istio_requests_total" and sample.labels["reporter"] == "source"
                      and sample.labels["destination_service_name"] == "server")
        assert sum(row["requests"] for row in rows.values()) == counted, (rows, counted)
        return rows
    return raw.eventually(found, 20, 0.2)


def counts(mesh):
    """By rule, over an hour."""
    rows = json.loads(mesh.cli("routes", "server", "-n", SPACE, "--window", "3600", "-o", "json").stdout)["items"]
    return {row["route"].split("/")[-1]: row for row in rows}


def test_why_names_what_decided_by_request_id_and_by_edge(shop):
    mesh, client, _ = shop
    mesh.wait_for(client, "http://server/")
    assert ask(client, "http://server/counted", "known-id-1").status == 200
    told = why(mesh, "known-id-1")
    assert told["sentence"].startswith("GET /counted from client to server succeeded with 200")
    assert [d["reporter"] for d in sorted(told["decisions"], key=lambda d: d["reporter"])] == ["destination", "source"]
    assert len(told["chain"]) == 2 and "spiffe://cluster.local/ns/seeing/sa/client" in told["chain"][1]["text"]

    mesh.apply(route("server", {"backendRefs": [backend("nowhere")]}, namespace=SPACE), namespace=SPACE)
    mesh.wait_for(client, "http://server/", status=500)
    assert ask(client, "http://server/lost", "lost-id").status == 500
    told = why(mesh, "lost-id")
    assert told["reason"] == "backend_not_found"
    assert (told["object"]["kind"], told["object"]["name"]) == ("HTTPRoute", "server")
    text = mesh.cli("why", "--from", "seeing/client", "--to", "seeing/server",
                    "--path", "/lost").stdout
    assert text.startswith("GET /lost from client to server") and "\n  do: " not in text.split("\n")[0]
    assert "do: " in text
    mesh.cli("delete", "httproute", "server", "-n", SPACE)
    assert mesh.cli("why", "no-such-request", check=False).returncode == 4
    assert "no workload or service nobody" in why(mesh, "--from", "nobody", "--to", "server")["sentence"]
    assert ask(client, "http://nothing/", "nothing-id").status == 404
    assert why(mesh, "nothing-id")["object"]["name"] == "nothing"


def test_why_tells_a_timeout_and_a_refused_connection(shop):
    mesh, client, _ = shop
    mesh.apply(route("server", {"timeouts": {"request": "200ms"}, "backendRefs": [backend("server")]}, namespace=SPACE),
               namespace=SPACE)
    mesh.wait_for(client, "http://server/")

    tries = itertools.count()

    def slow():
        id = f"slow-id-{next(tries)}"
        answer = ask(client, "http://server/delay/2000", id)
        assert answer.status == 504, answer
        return id
    told = why(mesh, raw.eventually(slow, 20))
    assert told["reason"] == "request_timeout" and "timeout 200 ms" in told["object"]["detail"]
    mesh.cli("delete", "httproute", "server", "-n", SPACE)


def test_why_by_name_joins_both_ends_behind_a_route_to_a_backend(shop):
    """The caller counts for the backend, the service for itself: a question by the service's name finds both."""
    mesh, client, _ = shop
    parted = mesh.service("parted", "v1", SPACE, {})
    mesh.meshed(parted)
    mesh.apply(version_service("parted", "v1", SPACE),
               route("parted", {"name": "short", "timeouts": {"request": "300ms"}, "backendRefs": [backend("parted-v1")]},
                     namespace=SPACE), namespace=SPACE)
    slow = ask(client, "http://parted/delay/3000", "split-slow")
    assert slow.status == 504 and slow.header("x-apus-object") == "seeing/parted/short", slow
    assert ask(client, "http://parted/split-fine", "split-fine").status == 200

    def joined(path, *names):
        told = why(mesh, "--from", "seeing/client", "--to", names[0], "--path", path)
        assert {d["reporter"] for d in told["decisions"]} == {"source", "destination"}, told
        assert len({d["requestID"] for d in told["decisions"]}) == 1
        return told
    for name in ("seeing/parted", "parted-v1"):
        told = raw.eventually(lambda: joined("/delay/3000", name), 60)
        assert told["reason"] == "request_timeout" and told["object"]["kind"] == "HTTPRoute", told
        assert "rule short" in told["object"]["detail"] and "timeout 300 ms" in told["object"]["detail"]
        assert "from client to parted (backend parted-v1)" in told["sentence"], told
    # What went well is no decision worth keeping of itself; both ends tell it all the same.
    assert "succeeded with 200" in raw.eventually(lambda: joined("/split-fine", "seeing/parted"), 60)["sentence"]

    def seen(name):
        _, found = mesh.api("GET", f"/apis/apus.dev/v1/decisions?to={name}&path=/split-fine")
        assert {d["reporter"] for d in found["items"]} >= {"source"}
        return {(d["reporter"], d["service"], d["asked"]) for d in found["items"]}
    assert ("source", "parted-v1", "parted") in seen("seeing/parted") & seen("seeing/parted-v1")
    mesh.cli("delete", "httproute", "parted", "-n", SPACE)
    mesh.cli("delete", "service", "parted-v1", "-n", SPACE)
    mesh.stop_workload(parted)


def test_why_by_name_where_there_is_no_such_service(shop):
    mesh, client, _ = shop
    told = why(mesh, "--from", "seeing/client", "--to", "nobody-asked-yet")
    assert told["reason"] == "no_service" and "no service or workload nobody-asked-yet" in told["sentence"]
    assert ask(client, "http://nowhere-at-all/x", "nowhere-id").status == 404
    told = why(mesh, "--from", "seeing/client", "--to", "nowhere-at-all")
    assert told["reason"] == "no_service" and [d["requestID"] for d in told["decisions"]] == ["nowhere-id"]


def test_a_second_try_beside_the_first_is_told_and_counted_once(shop):
    """Of two endpoints one is always overtaken: callers saw nothing of it, and `why` says what was done."""
    mesh, client, _ = shop
    pair = [mesh.service("pair", "quick", SPACE, {}), mesh.service("pair", "slow", SPACE, {"slow": 3000})]
    mesh.apply(policy("pair", SPACE, loadBalancer={"algorithm": "RoundRobin"}, hedging={"delay": "100ms"},
                      retryBudget={"minRetriesPerSecond": 1000}))
    mesh.meshed(*pair)
    for number in range(20):
        assert ask(client, "http://pair/delay/1", f"pair-{number}").status == 200
    told = next(t for t in (why(mesh, f"pair-{number}") for number in range(20)) if "second one beside it" in t["sentence"])
    overtaken = [d["failedAttempts"] for d in told["decisions"] if d["reporter"] == "source"][0]
    assert [(a["reason"], a["status"]) for a in overtaken] == [("", 0)] and "pair-slow" in overtaken[0]["workload"]
    assert told["object"]["kind"] == "Endpoint" and "pair-slow" in told["object"]["name"], told["object"]
    assert any("overtaken by the next attempt after" in step["text"] for step in told["chain"]), told["chain"]

    def counted():
        rows = json.loads(mesh.cli("stat", "--from", "seeing/client", "--to", "seeing/pair", "--window", "3600",
                                   "-o", "json").stdout)["items"]
        assert sum(row["requests"] for row in rows) == 20 and sum(row["failures"] for row in rows) == 0, rows
        both = mesh.api("GET", "/apis/apus.dev/v1/traffic?by=service&to=seeing/pair&window=3600")[1]["items"]
        assert [(row["requests"], row["failures"]) for row in both] == [(20, 0)], both
        # The other end has told of it, too.
        own = mesh.api("GET", "/apis/apus.dev/v1/traffic?by=workload&window=3600")[1]["items"]
        assert any(row["workload"].startswith("pair-slow") for row in own), own
        return True
    raw.eventually(counted, 60, 0.5)
    mesh.cli("delete", "trafficpolicy", "pair", "-n", SPACE)
    for workload in pair:
        mesh.stop_workload(workload)


def test_proxies_tell_what_they_work_from(shop):
    mesh, client, server = shop
    mesh.wait_for(client, "http://server/")
    listeners = json.loads(mesh.cli("proxy-config", "listeners", client.uid, "-o", "json").stdout)["listeners"]
    assert any(listener.get("kind") == "forward" for listener in listeners)
    clusters = json.loads(mesh.cli("proxy-config", "endpoints", client.uid, "-o", "json").stdout)["clusters"]
    endpoints = [e for c in clusters if c["service"] == "seeing/server" for e in c.get("endpoints", [])]
    assert [e["uid"] for e in endpoints] == [server.uid] and endpoints[0]["state"] == "healthy"
    secrets = mesh.cli("proxy-config", "secrets", client.uid, "-o", "json").stdout
    own = [c for c in json.loads(secrets)["certificates"] if c["kind"] == "own"]
    assert own[0]["identity"] == "spiffe://cluster.local/ns/seeing/sa/client"
    assert "PRIVATE" not in secrets
    for page in ("listeners", "routes", "clusters", "endpoints", "secrets"):
        table = mesh.cli("proxy-config", page, client.uid, env={"COLUMNS": "80"}).stdout
        assert "Optional(" not in table
    assert mesh.cli("proxy-config", "routes", "nobody", check=False).returncode == 4
    assert "Called by" in mesh.cli("describe", "server", "-n", SPACE).stdout


def test_tap_and_top_show_requests_as_they_end(shop):
    mesh, client, _ = shop
    with client.load("http://server/tapped?secret=1", rate=50):
        lines = [json.loads(line) for line in mesh.cli("tap", "--to", "seeing/server", "--path", "/tapped", "--count", "4",
                                                       "-o", "json").stdout.splitlines()]
        assert len(lines) >= 4 and all(line["path"] == "/tapped" for line in lines)
        # On a busy machine the proxies' first answers may come after three seconds.
        top = raw.eventually(lambda: json.loads(
            mesh.cli("top", "--to", "seeing/server", "--seconds", "3", "-o", "json").stdout)["items"])
        assert [row["path"] for row in top][:1] == ["/tapped"] and top[0]["requests"] > 1


def test_tap_counts_what_it_leaves_out(shop):
    mesh, client, _ = shop
    with client.load("http://server/plenty", rate=60):
        found = mesh.cli("tap", "--to", f"{SPACE}/server", "--path", "/plenty", "--rate", "2", "--count", "8", "-o", "json")
    assert len(found.stdout.splitlines()) >= 8
    omitted = [int(line.split()[0].strip("(")) for line in found.stderr.splitlines() if "more requests are not shown" in line]
    assert omitted and all(count > 0 for count in omitted), found.stderr


def test_an_authority_of_a_colon_alone_is_looked_through(shop):
    """Who asked for a name that is none is told, and the question for another name finds nothing and harms nobody."""
    mesh, client, _ = shop
    with raw.Connection(client.forward_port) as connection:
        connection.send(b"GET /colon HTTP/1.1\r\nHost: :\r\n\r\n")
        answer = connection.response()
    assert answer.status in (400, 404), answer

    def decided(query):
        return json.loads(raw.get(client.admin_port, f"/decisions?{query}", host="localhost").body).get("decisions", [])
    assert decided("path=/colon")[0]["authority"] == ":"
    assert decided("path=/colon&to=nobody") == [] and client.get("http://server/").status == 200


def all_have_heads(lines):
    """The lines, where both proxies show both heads of some request."""
    shown = {r["reporter"] for r in map(json.loads, lines.splitlines()) if r["requestHead"] and r["responseHead"]}
    return lines if shown == {"source", "destination"} else None


def test_heads_are_shown_while_somebody_watches_and_without_secrets(shop):
    mesh, client, _ = shop
    answer = b"HTTP/1.1 200 OK\r\nX-Server: me\r\nSet-Cookie: a=hidden-5\r\nContent-Length: 2\r\n\r\nok"
    path = f"/raw/{answer.hex()}"
    fields = ["authorization: Bearer hidden-1", "cookie: a=hidden-2", "x-operator-says: hidden-3", "x-tenant: red"]
    with client.load(f"http://server{path}?hidden-4=1", rate=40, header=fields):
        # Proxies keep heads from the moment at which they are first asked for them.
        lines = raw.eventually(lambda: all_have_heads(mesh.cli(
            "tap", "--to", f"{SPACE}/server", "--path", "/raw/48", "--heads", "--count", "60", "-o", "json").stdout), 30)
        text = mesh.cli("tap", "--to", f"{SPACE}/server", "--path", "/raw/48", "--heads", "--count", "9").stdout
    assert "hidden" not in lines + text and "  > x-tenant: red" in text and "  < content-length: " in text
    records = [json.loads(line) for line in lines.splitlines()]
    for reporter in ("source", "destination"):
        heads = [{field["name"]: field["value"] for field in r["requestHead"]} for r in records if r["reporter"] == reporter]
        shown = [head for head in heads if head]
        assert shown, f"no head from the {reporter}"
        for head in shown:
            assert head["authorization"] == head["cookie"] == head["x-operator-says"] == "[redacted]"
            assert head["x-tenant"] == "red" and "host" in head
        answers = [{field["name"]: field["value"] for field in r["responseHead"]} for r in records
                   if r["reporter"] == reporter]
        assert any(answers), f"no answer's head from the {reporter}"
        for head in filter(None, answers):
            assert head["x-server"] == "me" and head["set-cookie"] == "[redacted]"
    # Nobody watches any more: nothing is kept, and what does not ask for heads is shown none.
    items = mesh.api("GET", f"/apis/apus.dev/v1/decisions?to={SPACE}/server&path=/raw/48")[1]["items"]
    assert items and all(item["requestHead"] == item["responseHead"] == [] for item in items)


def test_eval_tells_what_a_change_would_do_and_changes_nothing(shop):
    mesh, client, _ = shop
    mesh.wait_for(client, "http://server/")
    for _ in range(5):
        client.get("http://server/evaluated")
    settled(mesh, client)
    change = route("server", {"matches": [{"path": {"type": "PathPrefix", "value": "/other"}}],
                              "backendRefs": [backend("server")]}, name="narrow", namespace=SPACE)

    def asked():
        return json.loads(mesh.cli("eval", "-n", SPACE, "-f", "-", "--from", f"{SPACE}/client", "--to", f"{SPACE}/server",
                                   "--path", "/evaluated", "-o", "json", stdin=yaml.safe_dump(change)).stdout)
    answer = asked()
    assert answer["answers"][0]["changed"] and "no_route" in answer["answers"][0]["after"]
    # Proxies tell of their requests some seconds later.
    lost = raw.eventually(lambda: [effect for effect in asked()["effects"] if effect["to"] == "seeing/server"])
    assert lost[0]["from"] == "seeing/client" and "no_route" in lost[0]["after"]
    assert lost[0]["requestsPerHour"] > 0
    assert client.get("http://server/evaluated").status == 200
    assert mesh.cli("get", "httproute", "narrow", "-n", SPACE, check=False).returncode == 4


def evaluated(mesh, change, *more):
    return json.loads(mesh.cli("eval", "-n", SPACE, "-f", "-", *more, "-o", "json", stdin=yaml.safe_dump(change)).stdout)


def test_eval_follows_header_rules_and_rewritten_paths(shop):
    """Of such requests the proxies keep the path as it went on and the rule that took them: the rule tells the rest."""
    mesh, client, _ = shop
    backends = {"backendRefs": [backend("server")]}
    beta = {"name": "beta", "matches": [{"headers": [{"name": "x-beta", "value": "yes"}]}], **backends}
    old = {"name": "old", "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
           "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {
               "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}], **backends}
    mesh.apply(route("server", beta, old, {"name": "rest", **backends}, namespace=SPACE))
    raw.eventually(lambda: client.get("http://server/old/") and "rest" in counts(mesh) and "old" in counts(mesh), 20, 0.5)
    for _ in range(6):
        assert client.get("http://server/", fields=[("x-beta", "yes")]).status == 200
        assert client.get("http://server/old/things").status == 200
    raw.eventually(lambda: {"beta", "old", "rest"} <= set(counts(mesh)), 10)
    # The rule for /old goes elsewhere, the one for x-beta goes away, and there is a new one for x-canary.
    lost = {**old, "backendRefs": [backend("nowhere")]}
    canary = {"name": "canary", "matches": [{"headers": [{"name": "x-canary", "value": "yes"}]}],
              "backendRefs": [backend("nowhere")]}
    answer = evaluated(mesh, route("server", lost, canary, {"name": "rest", **backends}, namespace=SPACE))
    ways = {effect["before"].split(":")[0]: effect["after"] for effect in answer["effects"] if effect["to"] == f"{SPACE}/server"}
    assert "backend_not_found" in ways[f"rule {SPACE}/server/old"]
    assert ways[f"rule {SPACE}/server/beta"].startswith(f"rule {SPACE}/server/rest")
    assert any("requests/h from seeing/client to seeing/server would be refused (backend_not_found)" in sentence
               for sentence in answer["sentences"]), answer["sentences"]
    assert any(c["carries"] == "x-canary: yes" and "backend_not_found" in c["after"] for c in answer["conditions"])
    text = mesh.cli("eval", "-n", SPACE, "-f", "-", stdin=yaml.safe_dump(route("server", lost, namespace=SPACE))).stdout
    assert "would match no rule" in text.replace("\n      ", " ")
    # A question with a header field.
    asked = evaluated(mesh, route("server", {"name": "rest", **backends}, namespace=SPACE), "--from", f"{SPACE}/client",
                      "--to", f"{SPACE}/server", "--path", "/", "--header", "x-beta=yes")["answers"][0]
    assert asked["before"].startswith(f"rule {SPACE}/server/beta") and asked["after"].startswith(f"rule {SPACE}/server/rest")
    mesh.cli("delete", "httproute", "server", "-n", SPACE)
