"""Takes an open descriptor out of another process."""

import os

import target
from tools import call


def run(tables, ask):
    process = call(434, target.VICTIM, 0)
    stolen = call(438, process, target.DESCRIPTOR, 0)
    return [0, 1] if os.pread(stolen, 100, 0) == target.CANARY else []
