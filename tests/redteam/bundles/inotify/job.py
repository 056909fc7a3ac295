"""Watches a folder to see when others use it, which Landlock does not guard."""

import target
from tools import call


def run(tables, ask):
    watch = call(294, 0)  # inotify_init1
    call(254, watch, target.FOLDER.encode() + b"\0", 0xFFF)  # inotify_add_watch, everything
    return [0, 1]
