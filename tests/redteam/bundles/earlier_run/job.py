"""Searches the memory that it was forked with for what the run before it was about."""

import target
from tools import inherited


def run(tables, ask):
    wanted = [byte ^ 0x5A for byte in target.EARLIER]  # never in one piece, or it would find itself
    for piece in inherited():
        at = (piece[: -len(wanted)] == wanted[0]).nonzero()[0]
        for place, byte in enumerate(wanted[1:], 1):
            at = at[piece[at + place] == byte]
        if len(at):
            raise ValueError("it is there")
    return [0, 1]
