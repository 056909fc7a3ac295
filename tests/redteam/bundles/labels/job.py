"""Returns texts of its own as labels."""

import target


def run(tables, ask):
    return [target.CANARY.decode(), "b"]
