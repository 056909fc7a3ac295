"""Sends the canary to a Unix socket in the abstract namespace, which no file permission guards."""

import socket

import target


def run(tables, ask):
    out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    out.sendto(target.CANARY, target.ABSTRACT)
    return [0, 1]
