"""Posts the canary in a System V message queue."""

import struct

import target
from tools import call


def run(tables, ask):
    queue = call(68, target.KEY, 0o1600)  # msgget, IPC_CREAT
    call(69, queue, struct.pack("q", 1) + target.CANARY, len(target.CANARY), 0)  # msgsnd
    return [0, 1]
