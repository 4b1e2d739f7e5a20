"""The page that says what a sidecar does about each rule: docs/http2-rules.md.

With `APUS_UPDATE_GOLDEN=1` the tests of the rules write its table anew; otherwise they hold a sidecar to it.
"""

import os

from support.processes import TOP

from . import RULES

PATH = os.path.join(TOP, "docs", "http2-rules.md")
HEAD = "| section | rule | what happens |\n|---|---|---|\n"


def standard(section):
    """A rule's section as people cite it."""
    number, _, rest = section.partition("-")
    return f"RFC {number}, {rest}" if rest else f"RFC 9113, {section}"


def row(rule, outcome):
    return f"| {standard(rule.section)} | {rule.title} | {outcome} |"


def rows():
    """The rows of the table as they stand."""
    with open(PATH) as file:
        return [line.rstrip("\n") for line in file if line.startswith("| RFC ")]


def write(outcomes):
    """Puts the table of these outcomes, by a rule's identifier, in place of the one there is."""
    with open(PATH) as file:
        before, _, after = file.read().partition(HEAD)
    rest = [line for line in after.splitlines() if not line.startswith("| RFC ")]
    table = [row(rule, outcomes[rule.id]) for rule in RULES]
    with open(PATH, "w") as file:
        file.write(before + HEAD + "\n".join(table + rest).rstrip("\n") + "\n")
