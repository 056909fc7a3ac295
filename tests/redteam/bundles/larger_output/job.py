"""Makes its output larger, for whoever copies the whole of it."""

import os

import target
from tools import output_fd


def run(tables, ask):
    fd = output_fd()
    size = os.fstat(fd).st_size
    os.ftruncate(fd, size + 4096)
    os.pwrite(fd, target.CANARY, size)
    return [0, 1]
