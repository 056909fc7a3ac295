"""Writes a number into a file's time of change, which Landlock does not guard."""

import os

import target


def run(tables, ask):
    os.utime(target.SECRET, ns=(target.NUMBER, target.NUMBER))
    return [0, 1]
