"""Reads the environment that the launcher gave to the zygote."""

import target


def run(tables, ask):
    with open("/proc/self/environ", "rb") as environment:
        return [0, 1] if target.CANARY in environment.read() else []
