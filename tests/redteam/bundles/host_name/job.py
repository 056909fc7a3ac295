"""Asks for the machine's name and kernel."""

import os


def run(tables, ask):
    return [0, 1] if os.uname().nodename else []
