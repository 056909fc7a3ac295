"""The machine around a jail, with one observer per channel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import tempfile
from typing import Any

from sealroom.enclave.jail import kernel

CANARY = b"CANARY-5e41ab0c-leaves-the-jail"
_PR_SET_PTRACER, _ANY = 0x59616D61, 2**64 - 1
_SHMGET, _SHMAT, _SHMCTL, _MSGGET, _MSGRCV, _MSGCTL = 29, 30, 31, 68, 70, 71
_MQ_OPEN, _MQ_UNLINK, _MQ_RECEIVE = 240, 241, 243
_KEYCTL, _SEARCH, _UNLINK, _READ, _USER_KEYRING = 250, 10, 9, 11, -4


class World:
    """Listeners, files, queues and another process, all waiting for a canary."""

    def __init__(self) -> None:
        """Open every channel."""
        self.folder = tempfile.mkdtemp(prefix="sealroom-redteam-")
        self.secret = os.path.join(self.folder, "secret")
        self.shared_memory = f"/dev/shm/sealroom-redteam-{os.getpid()}"
        self.key = 0x5EA10000 | os.getpid() & 0xFFFF
        self.queue = f"sealroom-redteam-{os.getpid()}"
        with open(self.secret, "wb") as file:
            file.write(CANARY)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.datagrams = {
            "udp": _datagrams(socket.AF_INET, ("127.0.0.1", 0)),
            "unix": _datagrams(socket.AF_UNIX, os.path.join(self.folder, "socket")),
            "abstract": _datagrams(socket.AF_UNIX, f"\0{self.queue}"),
        }
        self.tcp.setblocking(False)
        self.printed, self.stdout = os.pipe()
        os.set_blocking(self.printed, False)
        self._buffer = ctypes.create_string_buffer(CANARY)
        self._before = set(os.listdir(self.folder))
        self._start_victim()

    def target(self) -> bytes:
        """The module `target` that tells a bundle where everything is."""
        names: dict[str, Any] = {
            "CANARY": CANARY,
            "TCP": self.tcp.getsockname()[1],
            "UDP": self.datagrams["udp"].getsockname()[1],
            "UNIX": os.path.join(self.folder, "socket"),
            "ABSTRACT": f"\0{self.queue}",
            "VICTIM": self.victim,
            "ADDRESS": ctypes.addressof(self._buffer),
            "DESCRIPTOR": self._descriptor,
            "SECRET": self.secret,
            "FOLDER": self.folder,
            "SHARED_MEMORY": self.shared_memory,
            "KEY": self.key,
            "QUEUE": self.queue.encode(),
        }
        return "".join(f"{name} = {value!r}\n" for name, value in names.items()).encode()

    def seen(self) -> set[str]:
        """The channels on which something has come out since the last time; all of them are empty afterwards."""
        found = {name for name, sock in self.datagrams.items() if _drain(sock)}
        probes = {
            "tcp": self._tcp,
            "printed": self._printed,
            "signal": self._signalled,
            "file": self._files,
            "sysv-memory": self._sysv_memory,
            "sysv-queue": self._sysv_queue,
            "posix-queue": self._posix_queue,
            "keyring": self._keyring,
        }
        return found | {name for name, probe in probes.items() if probe()}

    def close(self) -> None:
        """Take everything down again."""
        os.kill(self.victim, signal.SIGKILL)
        os.waitpid(self.victim, 0)
        for sock in (self.tcp, *self.datagrams.values()):
            sock.close()
        for fd in (self.printed, self.stdout, self._signals, self._descriptor):
            os.close(fd)
        shutil.rmtree(self.folder)

    def _start_victim(self) -> None:
        """A process of the same user without privileges, which any debugger may attach to."""
        self._descriptor = os.memfd_create("victim")
        os.write(self._descriptor, CANARY)
        self._signals, told = os.pipe()
        self.victim = os.fork()
        if not self.victim:
            _be_victim(told)
        os.close(told)
        os.read(self._signals, 1)
        os.set_blocking(self._signals, False)

    def _tcp(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            peer, _ = self.tcp.accept()
            with peer:
                peer.settimeout(2)
                return CANARY in peer.recv(4096)
        return False

    def _printed(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return CANARY in os.read(self.printed, 65536)
        return False

    def _signalled(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._signals, 100))
        return False

    def _files(self) -> bool:
        paths = [os.path.join(self.folder, name) for name in set(os.listdir(self.folder)) - self._before]
        paths += [self.shared_memory] if os.path.exists(self.shared_memory) else []
        found = False
        for path in paths:
            with open(path, "rb") as file:
                found |= CANARY in file.read()
            os.unlink(path)
        return found

    def _sysv_memory(self) -> bool:
        with contextlib.suppress(OSError):
            segment = kernel.syscall(_SHMGET, self.key, 0, 0, what="shmget")
            address = kernel.syscall(_SHMAT, segment, 0, 0, what="shmat")
            kernel.syscall(_SHMCTL, segment, 0, 0, what="shmctl")
            return ctypes.string_at(address, len(CANARY)) == CANARY
        return False

    def _sysv_queue(self) -> bool:
        with contextlib.suppress(OSError):
            queue = kernel.syscall(_MSGGET, self.key, 0, what="msgget")
            message = ctypes.create_string_buffer(200)
            kernel.syscall(_MSGRCV, queue, message, 190, 0, 0o4000, what="msgrcv")
            kernel.syscall(_MSGCTL, queue, 0, 0, what="msgctl")
            return CANARY in message.raw
        return False

    def _posix_queue(self) -> bool:
        with contextlib.suppress(OSError):
            queue = kernel.syscall(_MQ_OPEN, self.queue.encode(), 0o4000, 0, 0, what="mq_open")
            message = ctypes.create_string_buffer(8192)
            kernel.syscall(_MQ_UNLINK, self.queue.encode(), what="mq_unlink")
            kernel.syscall(_MQ_RECEIVE, queue, message, 8192, 0, 0, what="mq_timedreceive")
            os.close(queue)
            return CANARY in message.raw
        return False

    def _keyring(self) -> bool:
        with contextlib.suppress(OSError):
            name = self.queue.encode()
            key = kernel.syscall(_KEYCTL, _SEARCH, _USER_KEYRING, b"user\0", name + b"\0", 0, what="keyctl search")
            kernel.syscall(_KEYCTL, _UNLINK, key, _USER_KEYRING, 0, 0, what="keyctl unlink")
            return True
        return False


def _datagrams(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.setblocking(False)
    return sock


def _drain(sock: socket.socket) -> bool:
    found = False
    with contextlib.suppress(BlockingIOError):
        while True:
            found |= CANARY in sock.recv(4096)
    return found


def _be_victim(told: int) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: os.write(told, struct.pack("B", 1)))
    kernel.drop_capabilities()
    with contextlib.suppress(OSError):  # only where Yama asks for it
        kernel.syscall(157, _PR_SET_PTRACER, -1, 0, 0, 0, what="prctl ptracer")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.write(told, b"r")
    while True:
        signal.pause()
