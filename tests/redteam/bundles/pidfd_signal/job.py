"""Signals another process by a descriptor of it."""

import os
import signal

import target


def run(tables, ask):
    signal.pidfd_send_signal(os.pidfd_open(target.VICTIM), signal.SIGUSR1)
    return [0, 1]
