"""Counts what the processor does for others, to listen to them."""

import struct

from tools import call


def run(tables, ask):
    attributes = struct.pack("IIQQQQQ", 1, 128, 0, 0, 0, 0, 1 << 5 | 1 << 6).ljust(128, b"\0")
    call(298, attributes, 0, -1, -1, 0)  # software clock of this thread, without kernel and hypervisor
    return [0, 1]
