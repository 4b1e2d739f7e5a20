"""Every rule of RFC 9113 and RFC 7541 against a sidecar, on both of its sides that clients reach.

`outbound`: a sidecar's port for its own application, cleartext with prior knowledge, in front of an HTTP/1.1 server.
`inbound`: a sidecar's port for other workloads, mutual TLS with ALPN.
"""

import os
import sys

import pytest

from http2_rules import RULES, Conversation, page
from support.certificates import Authority
from support.processes import APPS, Program, free_port
from support.sidecars import Hop, Pair
from support import raw


# What has happened, by a rule's identifier; and what docs/http2-rules.md says of it.
OUTCOMES, PAGE = {}, page.rows()


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    port = free_port()
    program = Program([sys.executable, os.path.join(APPS, "server.py"), "server"],
                      str(tmp_path_factory.mktemp("application") / "log"), {**os.environ, "PORT": str(port)})
    raw.eventually(lambda: raw.get(port).status == 200, 15)
    yield port
    program.stop()


@pytest.fixture(scope="module")
def outbound(tmp_path_factory, application):
    with Hop(tmp_path_factory.mktemp("outbound"), application) as hop:
        yield {"port": hop.port}


@pytest.fixture(scope="module")
def inbound(tmp_path_factory, application):
    folder = tmp_path_factory.mktemp("inbound")
    authority = Authority(folder / "authority")
    with Pair(folder, application, authority=authority) as pair:
        context = authority.leaf("tester").context()

        def wrap(sock):
            found = context.wrap_socket(sock, server_hostname="server")
            assert found.selected_alpn_protocol() == "h2"
            return found
        yield {"port": pair.inbound_port, "wrap": wrap}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
@pytest.mark.parametrize("side", ["outbound", "inbound"])
def test_rule(rule, side, request):
    with Conversation(greet=rule.greet, **request.getfixturevalue(side)) as conversation:
        rule.check(conversation)
        OUTCOMES[rule.id] = conversation.outcome
    if "APUS_UPDATE_GOLDEN" not in os.environ:
        # docs/http2-rules.md says what happens.
        assert page.row(rule, conversation.outcome) in PAGE, (rule.id, conversation.outcome)


def test_the_page_has_every_rule():
    if "APUS_UPDATE_GOLDEN" in os.environ and len(OUTCOMES) == len(RULES):
        page.write(OUTCOMES)
    assert [line.rsplit(" | ", 1)[0] for line in page.rows()] == [
        page.row(rule, "").rsplit(" | ", 1)[0].rstrip() for rule in RULES]


def test_every_section_is_covered():
    """Sections that bind a server, by the standards' tables of contents."""
    found = {rule.section for rule in RULES}
    wanted = {"3.4", "4.1", "4.2", "4.3", "5.1", "5.1.1", "5.1.2", "5.2", "5.3", "5.4.1", "5.5", "6.1", "6.2", "6.3", "6.4",
              "6.5", "6.5.2", "6.5.3", "6.6", "6.7", "6.8", "6.9", "6.9.1", "6.9.2", "6.10", "7", "8.1", "8.1.1", "8.2",
              "8.2.1", "8.2.2", "8.2.3", "8.3", "8.3.1", "8.4", "8.5", "10.5.1", "7541-2.3.2", "7541-2.3.3", "7541-4.2",
              "7541-4.4", "7541-5.1", "7541-5.2", "7541-6.1", "7541-6.2.1", "7541-6.2.2", "7541-6.2.3", "7541-6.3"}
    assert wanted <= found, wanted - found
