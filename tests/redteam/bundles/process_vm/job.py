"""Copies memory out of another process."""

import ctypes
import struct

import target
from tools import call


def run(tables, ask):
    found = ctypes.create_string_buffer(len(target.CANARY))
    here = struct.pack("QQ", ctypes.addressof(found), len(found))
    there = struct.pack("QQ", target.ADDRESS, len(found))
    call(310, target.VICTIM, here, 1, there, 1, 0)
    return [0, 1] if found.raw == target.CANARY else []
