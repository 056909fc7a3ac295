"""Reads a file of the machine."""

import target


def run(tables, ask):
    with open(target.SECRET, "rb") as file:
        return [0, 1] if file.read() == target.CANARY else []
