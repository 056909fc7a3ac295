"""Leaves the canary in System V shared memory."""

import ctypes

import target
from tools import call


def run(tables, ask):
    segment = call(29, target.KEY, 4096, 0o1600)  # shmget, IPC_CREAT
    address = call(30, segment, 0, 0)  # shmat
    ctypes.memmove(address, target.CANARY, len(target.CANARY))
    return [0, 1]
