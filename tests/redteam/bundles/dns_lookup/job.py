"""Asks for a name in which the canary stands, as a resolver would."""

import socket
import struct

import target


def run(tables, ask):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect(("127.0.0.1", target.UDP))
    # header: id, recursion desired, one question; then the name's labels, type A, class IN
    labels = bytes([len(target.CANARY)]) + target.CANARY + b"\x07example\0"
    out.send(struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1))
    return [0, 1]
