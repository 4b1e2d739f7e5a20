"""Tries every rule on a server and prints what it does not keep to: `python -m http2_rules HOST:PORT [WORD]`."""

import sys

from . import RULES, Conversation


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    failed = 0
    chosen = [r for r in RULES if len(sys.argv) < 3 or sys.argv[2] in r.id]
    for rule in chosen:
        try:
            with Conversation(int(port), strict=False, greet=rule.greet, address=host, seconds=3) as conversation:
                rule.check(conversation)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"{rule.section:12} {rule.title}: {type(error).__name__} {str(error)[:300]}")
    print(f"{len(chosen) - failed} of {len(chosen)} kept")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
