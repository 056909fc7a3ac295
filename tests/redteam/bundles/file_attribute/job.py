"""Writes the canary into an extended attribute of a file, which Landlock does not guard."""

import os

import target


def run(tables, ask):
    os.setxattr(target.SECRET, "user.canary", target.CANARY)
    return [0, 1]
