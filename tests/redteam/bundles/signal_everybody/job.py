"""Signals all processes at once; number 0, so that a success hurts nobody."""

import os


def run(tables, ask):
    os.kill(-1, 0)
    return [0, 1]
