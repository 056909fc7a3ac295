"""Says something by its exit status."""

import os


def run(tables, ask):
    os._exit(42)
