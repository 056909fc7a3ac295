"""Asks not to be killed with its parent."""

from tools import call


def run(tables, ask):
    call(157, 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG
    return [0, 1]
