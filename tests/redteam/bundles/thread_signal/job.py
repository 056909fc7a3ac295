"""Signals one thread of another process."""

import signal

import target
from tools import call


def run(tables, ask):
    call(234, target.VICTIM, target.VICTIM, signal.SIGUSR1)  # tgkill
    return [0, 1]
