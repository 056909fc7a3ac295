"""Runs another program."""

import os

import target


def run(tables, ask):
    os.execv("/bin/sh", ["sh", "-c", f"printf %s {target.CANARY.decode()} > {target.FOLDER}/exec"])  # noqa: S606 -- the attack
