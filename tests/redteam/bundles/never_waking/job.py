"""Sleeps without end, and uses no processor time."""

import time


def run(tables, ask):
    time.sleep(2.5)
    return [0, 1]
