"""Leaves the canary in the kernel's keyring of this user."""

import target
from tools import call


def run(tables, ask):
    call(248, b"user\0", target.QUEUE + b"\0", target.CANARY, len(target.CANARY), -4)  # add_key, user keyring
    return [0, 1]
