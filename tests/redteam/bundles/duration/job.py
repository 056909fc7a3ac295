"""Says a bit by how long it takes."""

import time


def run(tables, ask):
    time.sleep(0.8)
    return [0, 1]
