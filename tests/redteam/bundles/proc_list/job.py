"""Lists all processes of the machine."""

import os

import target


def run(tables, ask):
    return [0, 1] if str(target.VICTIM) in os.listdir("/proc") else []
