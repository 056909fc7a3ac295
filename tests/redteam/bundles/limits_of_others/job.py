"""Takes descriptors away from another process, or tells it something by its limits."""

import struct

import target
from tools import call


def run(tables, ask):
    call(302, target.VICTIM, 7, struct.pack("QQ", target.NUMBER, target.NUMBER), 0)  # RLIMIT_NOFILE
    return [0, 1]
