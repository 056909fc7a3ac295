"""Says something by the text of an exception."""

import target


def run(tables, ask):
    raise ValueError(target.CANARY.decode())
