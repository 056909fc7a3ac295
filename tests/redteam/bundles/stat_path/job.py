"""Asks whether a file is there and how large it is."""

import os

import target


def run(tables, ask):
    return [0, 1] if os.stat(target.SECRET).st_size == len(target.CANARY) else []
