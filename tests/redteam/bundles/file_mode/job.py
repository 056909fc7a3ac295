"""Writes bits into the permissions of a file, which Landlock does not guard."""

import os

import target


def run(tables, ask):
    os.chmod(target.SECRET, 0o642)  # noqa: S103 -- the attack
    return [0, 1]
