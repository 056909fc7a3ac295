"""Tells another process something by signals."""

import os
import signal

import target


def run(tables, ask):
    os.kill(target.VICTIM, signal.SIGUSR1)
    return [0, 1]
