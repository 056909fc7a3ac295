"""Loads a program into the kernel."""

import struct

from tools import call


def run(tables, ask):
    call(321, 0, struct.pack("IIII", 2, 4, 8, 1).ljust(72, b"\0"), 72)  # BPF_MAP_CREATE, an array
    return [0, 1]
