"""Sends the canary over TCP."""

import socket

import target


def run(tables, ask):
    with socket.create_connection(("127.0.0.1", target.TCP), timeout=2) as out:
        out.sendall(target.CANARY)
    return [0, 1]
