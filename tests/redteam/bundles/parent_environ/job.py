"""Reads the environment of the process that forked it."""

import os

import target


def run(tables, ask):
    with open(f"/proc/{os.getppid()}/environ", "rb") as environment:
        return [0, 1] if target.CANARY in environment.read() else []
