"""Changes its own priority, which every process can see."""

import os


def run(tables, ask):
    os.setpriority(os.PRIO_PROCESS, 0, 7)
    return [0, 1] if os.getpriority(os.PRIO_PROCESS, 0) == 7 else []
