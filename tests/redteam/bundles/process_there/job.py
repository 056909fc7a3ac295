"""Asks whether there is a process of some number."""

import os

import target


def run(tables, ask):
    return [0, 1] if os.path.exists(f"/proc/{target.VICTIM}") and not os.path.exists("/proc/4194304") else []
