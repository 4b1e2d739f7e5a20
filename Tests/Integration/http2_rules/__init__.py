"""Rules of RFC 9113 (HTTP/2) and RFC 7541 (HPACK), each as a small conversation with a server, numbered by section.

A rule is a function that takes a `Conversation`. `RULES` holds all of them in order. They can be tried on any server:

  python -m http2_rules HOST:PORT     (in Tests/Integration; the server answers as apps/server.py does)

What a sidecar does about each stands in docs/http2-rules.md, which `page.py` writes and the tests hold to.
"""

from support import http2

RULES = []


class Rule:
    def __init__(self, section, title, check, greet):
        self.section, self.title, self.check, self.greet = section, title, check, greet
        words = "".join(c if c.isalnum() else "-" for c in title.lower())
        self.id = f"{section}-{'-'.join(word for word in words.split('-') if word)}"


def rule(section, title, greet=True):
    """Registers a rule. With `greet` the preface and SETTINGS have been exchanged before it begins."""
    def register(check):
        RULES.append(Rule(section, title, check, greet))
        return check
    return register


class Conversation(http2.Client):
    """A client's connection with the two kinds of error that the standard knows.

    `strict`: an error of the connection shows in a GOAWAY with the right code before the end, and an error of a stream
    in a RST_STREAM after which the connection serves others. Not strict: the standard's wider leave, where a server may
    just close, or take an error of a stream for one of the connection.
    """

    def __init__(self, port, strict=True, greet=True, **options):
        self.strict, self.errors = strict, []
        super().__init__(port, greet=greet, **options)

    def connection_error(self, *codes):
        found = self.goaway_code()
        if found is None and not self.strict:
            return
        assert found in codes, f"GOAWAY with {found} instead of {codes}; {self.seen[-6:]}"
        self.errors.append(f"GOAWAY {http2.CODES[found]}")

    def stream_error(self, stream, *codes):
        try:
            answer = self.answers.setdefault(stream, http2.Answer())
            while answer.reset is None:
                found = self.frame()
                if found.type == http2.GOAWAY and found.number(4) != http2.NO_ERROR:
                    assert not self.strict and found.number(4) in codes, f"{found} for an error of one stream"
                    return
        except http2.Closed:
            assert not self.strict, f"closed for an error of one stream: {self.seen[-6:]}"
            return
        assert answer.reset in codes, f"RST_STREAM with {answer.reset} instead of {codes}"
        self.errors.append(f"RST_STREAM {http2.CODES[answer.reset]}")
        self.barrier()

    @property
    def outcome(self):
        """The errors that the rule has met with, each once; none: what the rule's title says has happened."""
        return ", ".join(dict.fromkeys(self.errors)) or "as it says"

    def served(self, stream=None, status=200):
        """The stream (a new request, if none is named) is answered in full."""
        answer = self.answer(self.request() if stream is None else stream)
        assert answer.status == status and answer.ended and answer.reset is None, answer
        return answer


# The rules register themselves, in the order of the standard.
from . import connection, frames, windows, messages, compression  # noqa: E402, F401
