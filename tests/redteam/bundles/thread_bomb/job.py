"""Starts more threads than the machine has numbers for, if nobody counts."""

import threading
import time


def run(tables, ask):
    threading.stack_size(65536)
    stop = threading.Event()
    for _ in range(100):
        threading.Thread(target=stop.wait, daemon=True).start()
    time.sleep(0.5)
    return [0, 1]
