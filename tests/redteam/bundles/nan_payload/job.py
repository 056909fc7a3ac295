"""Hides the canary in the payload bits of numbers that are none."""

import struct

import target
from tools import write_output


def run(tables, ask):
    payload = target.CANARY[:6] + b"\xf8\x7f"
    write_output(struct.pack("<8sIIQ", b"SRJOUT1\0", 2, 0, len(tables["t"])) + payload * len(tables["t"]))
