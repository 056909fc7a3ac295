"""The machine around a jail, with one observer per channel."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sealroom.enclave.jail import kernel
from tests.redteam.contracts import CANARY

EARLIER = b"what-the-run-before-was-about-93c1"
NUMBER = 777
_SETTLED, _PATIENCE = b"s", 30.0
_PR_SET_PTRACER, _ANY = 0x59616D61, 2**64 - 1
_SHMGET, _SHMAT, _SHMCTL, _MSGGET, _MSGRCV, _MSGCTL = 29, 30, 31, 68, 70, 71
_MQ_OPEN, _MQ_UNLINK, _MQ_RECEIVE = 240, 241, 243
_FUTEX, _FUTEX_WAIT = 202, 0
_KEYCTL, _SEARCH, _UNLINK, _READ, _USER_KEYRING = 250, 10, 9, 11, -4


class World:
    """Listeners, files, queues and two other processes, all waiting for a canary.

    In a container some of them cannot be: it forbids sockets and queues to whoever is inside, jail or not.
    """

    def __init__(self) -> None:
        """Open every channel."""
        self.folder = tempfile.mkdtemp(prefix="sealroom-redteam-")
        self.secret = os.path.join(self.folder, "secret")
        self.shared_memory = f"/dev/shm/sealroom-redteam-{os.getpid()}"
        self.key = 0x5EA10000 | os.getpid() & 0xFFFF
        self.queue = f"sealroom-redteam-{os.getpid()}"
        with open(self.secret, "wb") as file:
            file.write(CANARY)
        os.chmod(self.secret, 0o600)
        self.tcp = _if_allowed(lambda: socket.create_server(("127.0.0.1", 0)))
        if self.tcp is not None:
            self.tcp.setblocking(False)
        wanted = {
            "udp": (socket.AF_INET, ("127.0.0.1", 0)),
            "unix": (socket.AF_UNIX, os.path.join(self.folder, "socket")),
            "abstract": (socket.AF_UNIX, f"\0{self.queue}"),
        }
        found = {name: _if_allowed(lambda how=how: _datagrams(*how)) for name, how in wanted.items()}
        self.datagrams = {name: sock for name, sock in found.items() if sock is not None}
        self.printed, self.stdout = os.pipe()
        os.set_blocking(self.printed, False)
        self._buffer = ctypes.create_string_buffer(CANARY)
        self._before = set(os.listdir(self.folder))
        self._descriptor = _secret_file()
        self.victim, self._signals = _start(_be_victim, self._descriptor)
        self.sleeper, self._woken = _start(_sleep_on, np.__file__)

    def target(self) -> bytes:
        """The module `target` that tells a bundle where everything is."""
        names: dict[str, Any] = {
            "CANARY": CANARY,
            "TCP": self.tcp.getsockname()[1] if self.tcp else 9,
            "UDP": self.datagrams["udp"].getsockname()[1] if "udp" in self.datagrams else 9,
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
            "NUMBER": NUMBER,
            "LIBRARY": np.__file__,
            "EARLIER": [byte ^ 0x5A for byte in EARLIER],
        }
        return "".join(f"{name} = {value!r}\n" for name, value in names.items()).encode()

    def seen(self, proof: str = "", *, seconds: float = 0.02) -> set[str]:
        """The channels on which something has come out since the last time; all of them are empty afterwards.

        Signals and wake-ups take a moment: `proof` is waited for, anything else gets `seconds`.
        """
        end = time.monotonic() + (2.0 if proof else seconds)
        found = self._look()
        while time.monotonic() < end and (not proof or proof not in found):
            time.sleep(0.005)
            found |= self._look()
        return found

    def _look(self) -> set[str]:
        found = {name for name, sock in self.datagrams.items() if _drain(sock)}
        probes = {
            "tcp": self._tcp,
            "printed": self._printed,
            "signal": lambda: _some(self._signals),
            "futex": lambda: _some(self._woken),
            "limits": self._limited,
            "mode": self._mode,
            "times": self._times,
            "attribute": self._attribute,
            "file": self._files,
            "sysv-memory": self._sysv_memory,
            "sysv-queue": self._sysv_queue,
            "posix-queue": self._posix_queue,
            "keyring": self._keyring,
        }
        return found | {name for name, probe in probes.items() if probe()}

    def settle(self) -> None:
        """Forget every signal sent so far, once the victim has taken it: on a busy machine that may be late.

        Python runs its handlers in the order of the signals' numbers, so the answer to the highest one comes last.
        """
        os.kill(self.victim, signal.SIGRTMAX)
        end, told = time.monotonic() + _PATIENCE, b""
        while _SETTLED not in told:
            if time.monotonic() > end:
                raise RuntimeError("the victim does not answer")
            with contextlib.suppress(BlockingIOError):
                told += os.read(self._signals, 100)
            time.sleep(0.001)

    def close(self) -> None:
        """Take everything down again."""
        for pid in (self.victim, self.sleeper):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for sock in (self.tcp, *self.datagrams.values()):
            if sock is not None:
                sock.close()
        for fd in (self.printed, self.stdout, self._signals, self._woken, self._descriptor):
            os.close(fd)
        shutil.rmtree(self.folder)

    def _tcp(self) -> bool:
        if self.tcp is None:
            return False
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

    def _limited(self) -> bool:
        found = resource.prlimit(self.victim, resource.RLIMIT_NOFILE)
        if found == (NUMBER, NUMBER):
            resource.prlimit(self.victim, resource.RLIMIT_NOFILE, (NUMBER - 1, NUMBER))
        return found == (NUMBER, NUMBER)

    def _mode(self) -> bool:
        found = os.stat(self.secret).st_mode & 0o777 == 0o642
        if found:
            os.chmod(self.secret, 0o600)
        return found

    def _times(self) -> bool:
        found = os.stat(self.secret).st_mtime_ns == NUMBER
        if found:
            os.utime(self.secret)
        return found

    def _attribute(self) -> bool:
        with contextlib.suppress(OSError):
            found = os.getxattr(self.secret, "user.canary") == CANARY
            os.removexattr(self.secret, "user.canary")
            return found
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


def _if_allowed(make: Callable[[], socket.socket]) -> socket.socket | None:
    try:
        return make()
    except PermissionError:
        return None


def _secret_file() -> int:
    fd = os.memfd_create("victim")
    os.write(fd, CANARY)
    return fd


def _some(pipe: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        return bool(os.read(pipe, 100))
    return False


def _start(role: Callable[[int, Any], None], argument: Any) -> tuple[int, int]:
    """A process of that role, and a pipe into which it writes when something happens to it."""
    reader, told = os.pipe()
    pid = os.fork()
    if not pid:
        role(told, argument)
        os._exit(1)
    os.close(told)
    os.read(reader, 1)
    os.set_blocking(reader, False)
    return pid, reader


def _sleep_on(told: int, library: str) -> None:
    """Sleep on a page of a library's file until somebody who has mapped it too wakes us."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    fd = os.open(library, os.O_RDONLY)
    page = np.frombuffer(mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ), "<u4")
    os.write(told, b"r")
    while True:
        with contextlib.suppress(InterruptedError):
            kernel.syscall(_FUTEX, page.ctypes.data, _FUTEX_WAIT, int(page[0]), 0, 0, 0, what="futex")
            os.write(told, b"w")


def _be_victim(told: int, _secret: int) -> None:
    """A process of the same user without privileges, which any debugger may attach to."""
    signal.signal(signal.SIGUSR1, lambda *_: os.write(told, struct.pack("B", 1)))
    signal.signal(signal.SIGRTMAX, lambda *_: os.write(told, _SETTLED))
    kernel.drop_capabilities()
    with contextlib.suppress(OSError):  # only where Yama asks for it
        kernel.syscall(157, _PR_SET_PTRACER, -1, 0, 0, 0, what="prctl ptracer")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.write(told, b"r")
    while True:
        signal.pause()
