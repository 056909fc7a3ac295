"""Says something by the text of a SystemExit, which Python would print."""

import target


def run(tables, ask):
    raise SystemExit(target.CANARY.decode())
