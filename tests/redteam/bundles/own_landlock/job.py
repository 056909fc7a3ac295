"""Lays a second, wider Landlock over the first, and reads a file."""

import struct

import target
from tools import call


def run(tables, ask):
    ruleset = call(444, struct.pack("Q", 1), 8, 0)  # handles nothing but running programs
    call(446, ruleset, 0)
    with open(target.SECRET, "rb") as file:
        return [0, 1] if file.read() == target.CANARY else []
