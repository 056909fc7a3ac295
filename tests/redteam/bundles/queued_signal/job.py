"""Sends a signal that carries eight bytes of its own."""

import signal
import struct

import target
from tools import call


def run(tables, ask):
    about = struct.pack("iiiixxxxq", signal.SIGUSR1, 0, -1, 0, 42).ljust(128, b"\0")  # SI_QUEUE
    call(129, target.VICTIM, signal.SIGUSR1, about)  # rt_sigqueueinfo
    return [0, 1]
