"""Sends the canary to a Unix socket that has a path."""

import socket

import target


def run(tables, ask):
    out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    out.sendto(target.CANARY, target.UNIX)
    return [0, 1]
