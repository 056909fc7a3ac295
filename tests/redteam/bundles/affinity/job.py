"""Chooses the processors that it runs on, which every process can see."""

import os


def run(tables, ask):
    chosen = {max(os.sched_getaffinity(0))}
    os.sched_setaffinity(0, chosen)
    return [0, 1] if os.sched_getaffinity(0) == chosen else []
