"""Leaves a handler for when the interpreter ends."""

import atexit

import target
from tools import write_output


def run(tables, ask):
    atexit.register(_late)
    return [0, 1]


def _late():
    print(target.CANARY.decode(), flush=True)
    write_output(target.CANARY[:16])
