"""A zygote that also forks children which do nothing: what a jail is measured against."""

from __future__ import annotations

import os
import socket

from sealroom.enclave import frames
from sealroom.enclave.jail import cell, kernel, layers, paths, zygote


def main(control_fd: int) -> None:
    """Answer `{"op": "fork"}` with a bare fork and exit, and everything else as a zygote does."""
    with socket.socket(fileno=control_fd) as control:
        zygote.prepare()
        zygote.prepare_jobs()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        how = cell.Confinement(readable=paths.for_jails(), required=layers.available())
        frames.send(control, {"ready": True})
        while True:
            try:
                message, fds = frames.receive(control, timeout=None)
            except EOFError:
                return
            outcome = _fork() if message == {"op": "fork"} else zygote.handle(message, fds, how, control)
            frames.close_all(fds)
            frames.send(control, {"outcome": outcome})


def _fork() -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "ok"
