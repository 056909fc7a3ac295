"""Has the kernel send the signal, as the owner of a pipe."""

import fcntl
import os
import signal

import target


def run(tables, ask):
    reader, writer = os.pipe()
    fcntl.fcntl(reader, 8, target.VICTIM)  # F_SETOWN
    fcntl.fcntl(reader, 10, signal.SIGUSR1)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")
    return [0, 1]
