"""Leaves a thread that goes on after the answer."""

import threading
import time

import target
from tools import write_output


def run(tables, ask):
    def late():
        time.sleep(0.3)
        print(target.CANARY.decode(), flush=True)
        write_output(target.CANARY[:16])

    threading.Thread(target=late).start()
    return [0, 1]
