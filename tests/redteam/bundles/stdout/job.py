"""Prints the canary."""

import os

import target


def run(tables, ask):
    os.write(1, target.CANARY)
    os.write(2, target.CANARY)
    return [0, 1]
