"""Locks a library's file: whoever asks for the lock elsewhere learns a bit each time."""

import fcntl

import target


def run(tables, ask):
    with open(target.LIBRARY, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [0, 1]
