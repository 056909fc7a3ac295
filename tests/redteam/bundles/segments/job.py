"""Makes memory segments of its own, which exploits of the kernel like."""

import struct

from tools import call


def run(tables, ask):
    call(154, 1, struct.pack("IIII", 0, 0, 0xFFFFF, 0x51), 16)  # modify_ldt
    return [0, 1]
