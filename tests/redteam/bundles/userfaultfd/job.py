"""Stops the kernel in the middle of a copy, a tool for exploits."""

from tools import call


def run(tables, ask):
    call(323, 1)  # user mode only
    return [0, 1]
