"""Announces more outputs than it was asked for."""

import struct

from tools import write_output


def run(tables, ask):
    write_output(struct.pack("<8sIIQqq", b"SRJOUT1\0", 1, 0, 3, 0, 1))
