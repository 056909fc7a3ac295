"""Makes a pair of sockets, the first step to passing descriptors around."""

import socket


def run(tables, ask):
    one, other = socket.socketpair()
    one.sendall(b"x")
    return [0, 1] if other.recv(1) == b"x" else []
