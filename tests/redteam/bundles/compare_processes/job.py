"""Asks whether it and another process share kernel objects: addresses in the kernel, bit by bit."""

import os

import target
from tools import call


def run(tables, ask):
    return [0, 1] if call(312, os.getpid(), target.VICTIM, 1, 0, 0) >= 0 else []  # KCMP_VM
