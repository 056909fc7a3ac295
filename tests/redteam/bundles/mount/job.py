"""Mounts a file system over one that is there, in namespaces of its own."""

import target
from tools import call


def run(tables, ask):
    call(272, 0x10020000)  # unshare, CLONE_NEWUSER | CLONE_NEWNS
    call(165, b"none\0", target.FOLDER.encode() + b"\0", b"tmpfs\0", 0, 0)
    return [0, 1]
