"""Runs a program that was never a file."""

import os

import target


def run(tables, ask):
    fd = os.memfd_create("program", 0)
    os.write(fd, f"#!/bin/sh\nprintf %s {target.CANARY.decode()} > {target.FOLDER}/memfd".encode())
    os.execve(fd, ["program"], {})  # noqa: S606 -- the attack
