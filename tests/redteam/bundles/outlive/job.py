"""Stays in the process group and session that a terminal or launcher would clean up by."""

import os


def run(tables, ask):
    return [0, 1] if os.getpgrp() != os.getpid() else []
