"""Sends the canary in a datagram, as a name lookup would."""

import socket

import target


def run(tables, ask):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(target.CANARY, ("127.0.0.1", target.UDP))
    return [0, 1]
