"""Writes the canary into the name that the operator sees in a process list."""

import ctypes

import target
from tools import call


def run(tables, ask):
    call(157, 15, target.CANARY[:15] + b"\0")  # PR_SET_NAME
    name = ctypes.create_string_buffer(16)
    call(157, 16, name)  # PR_GET_NAME
    return [0, 1] if name.value == target.CANARY[:15] else []
