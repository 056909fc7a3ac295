"""Computes without end."""

import time


def run(tables, ask):
    while time.process_time() < 3.5:
        pass
    return [0, 1]
