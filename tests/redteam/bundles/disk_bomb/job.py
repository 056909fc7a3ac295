"""Fills the disk."""

import os

import target


def run(tables, ask):
    with open(os.path.join(target.FOLDER, "bomb"), "wb") as file:
        file.write(target.CANARY * 1000)
    return [0, 1]
