"""Takes pages of another process out of memory, to watch it bring them back."""

import struct

import target
from tools import call


def run(tables, ask):
    there = struct.pack("QQ", target.ADDRESS & ~4095, 4096)
    call(440, call(434, target.VICTIM, 0), there, 1, 20, 0)  # process_madvise, MADV_COLD
    return [0, 1]
