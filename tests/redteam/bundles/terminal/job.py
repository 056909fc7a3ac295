"""Opens a terminal, to type into as if it were the operator."""

import os


def run(tables, ask):
    terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    return [0, 1] if os.isatty(terminal) else []
