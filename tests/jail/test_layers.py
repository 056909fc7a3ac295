"""Layers: all of them or none, in a process of their own."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sealroom.enclave.jail import kernel, landlock, layers, outcomes, seccomp, syscalls
from sealroom.protocol.errors import NotAcceptable, UsageError

LIMITS = "layers.Limits(memory_bytes=1 << 28, cpu_seconds=5)"


def confined(code: str, *, profile: str = "job", without: str = "'descriptors'", more: str = "") -> str:
    """What code prints in a fresh interpreter after it confined itself; standard output stays open."""
    start = (
        "import os, sys, errno, threading, socket, resource, ctypes\n"
        "from sealroom.enclave.jail import layers, landlock, paths\n"
        f"{more}\n"
        f"layers.apply('{profile}', limits={LIMITS}, readable=paths.libraries(), without=frozenset({{{without}}}))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=False, timeout=60
    )
    return ended.stdout.strip() or f"{ended.returncode} {ended.stderr.strip().splitlines()[-1:]}"


def refused(call: str) -> str:
    return f"try:\n    {call}\n    print('done')\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("open('/etc/passwd')", "EACCES"),
        ("open(os.__file__)", "done"),
        ("open('/dev/null', 'w')", "EPERM"),
        ("socket.socket()", "EPERM"),
        ("os.fork()", "EAGAIN"),
        ("threading.Thread(target=int).start()", "done"),
        ("os.execv('/bin/true', ['true'])", "EPERM"),
        ("os.kill(os.getppid(), 0)", "EPERM"),
        ("os.memfd_create('x')", "EPERM"),
        ("os.nice(1)", "EPERM"),
        ("resource.getrlimit(resource.RLIMIT_CPU)", "done"),
        ("__import__('fcntl').fcntl(0, 8, os.getppid())", "EPERM"),
        ("os.isatty(0) or os.dup(0)", "done"),
    ],
)
def test_a_job_may_do_this_and_not_that(call: str, answer: str) -> None:
    assert confined(refused(call)) == answer


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("os.ftruncate(os.memfd_create('x', os.MFD_ALLOW_SEALING), 1 << 20)", "done"),
        ("threading.Thread(target=int).start()", "done"),
        ("open(os.__file__)", "done"),
        ("open('/etc/passwd')", "EACCES"),
        ("open('/tmp/x', 'w')", "EPERM"),
        ("socket.socket()", "EPERM"),
        ("os.fork()", "EAGAIN"),
        ("os.execv('/bin/true', ['true'])", "EPERM"),
    ],
)
def test_the_engine_may_do_this_and_not_that(call: str, answer: str) -> None:
    assert confined(refused(call), profile="engine") == answer


def test_the_engine_talks_over_the_socket_it_has() -> None:
    code = "a.sendmsg([b'x'])\nprint(b.recvmsg(1)[0])"
    assert confined(code, profile="engine", more="a, b = socket.socketpair()") == "b'x'"


@pytest.mark.parametrize("profile", ["job", "reader", "engine"])
@pytest.mark.parametrize(
    ("command", "answer"),
    [(1, "EPERM"), (4, "EPERM"), (5, "EPERM"), (6, "EPERM"), (10, "EPERM"), (1 | 128, "done"), (0, "EAGAIN")],
)
def test_a_futex_wakes_nobody_outside_the_process(profile: str, command: int, answer: str) -> None:
    code = (
        "word = ctypes.c_int(7)\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"found = libc.syscall(202, ctypes.byref(word), {command}, 1, 0, 0, 0)\n"
        "thread = threading.Thread(target=int)\nthread.start()\nthread.join()\n"
        "print('done' if found >= 0 else errno.errorcode[ctypes.get_errno()])"
    )
    assert confined(code, profile=profile) == answer


def test_the_filter_kills_what_only_attackers_use() -> None:
    assert confined("ctypes.CDLL(None).syscall(425, 4, 0)").startswith("-31")


def test_the_environment_is_fixed_and_privileges_are_gone() -> None:
    code = (
        "print(dict(os.environ) == layers.ENVIRONMENT, os.getpgrp() == os.getpid(), "
        "resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE))"
    )
    assert confined(code) == "True True (0, 0) (0, 0)"
    status = "print(status.read().split('CapEff:')[1].split()[0])"
    assert confined(status, more="status = open('/proc/self/status')", without="'descriptors', 'seccomp'") == "0" * 16


def test_standard_streams_lead_nowhere_and_other_descriptors_are_closed() -> None:
    start = (
        "import os\nfrom sealroom.enclave.jail import layers, paths\n"
        "out = os.dup(1)\nextra = os.open(os.devnull, os.O_RDONLY)\n"
        f"layers.apply('job', limits={LIMITS}, readable=paths.libraries(), keep=[out])\n"
        "found = []\n"
        "for fd in range(64):\n"
        "    try: os.fstat(fd); found.append(fd)\n"
        "    except OSError: pass\n"
        "print('not seen')\nos.write(out, repr((found == [0, 1, 2, out], os.fstat(1).st_rdev)).encode())\n"
    )
    ended = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "(True, 259)"  # device 1:3


def test_each_layer_that_is_left_out_is_missing_from_the_answer() -> None:
    for name in layers.BASE:
        start = f"print(sorted(set(layers.available()) - set(layers.apply('job', limits={LIMITS}, readable=[], "
        start += f"without=frozenset({{'descriptors', '{name}'}})))))"
        program = f"import os\nfrom sealroom.enclave.jail import layers\n{start}"
        if name == "no-new-privs":
            continue  # an ordinary user cannot go on without it
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert ended.stdout.strip() == repr(sorted({"descriptors", name}))


def applied(more: str, **keywords: str) -> str:
    arguments = {"limits": LIMITS, "readable": "()"} | keywords
    call = ", ".join(f"{name}={value}" for name, value in arguments.items())
    code = (
        f"import threading\nfrom sealroom.enclave.jail import kernel, landlock, layers\n{more}\n"
        f"try:\n    layers.apply('job', {call})\nexcept Exception as e:\n    print(getattr(e, 'code', repr(e)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return ended.stdout.strip()


def test_a_layer_that_cannot_be_applied_is_an_error() -> None:
    assert applied("", required="('landlock-moon',)") == "E3.layer-missing"
    assert applied("landlock.version = lambda: 3", required="('landlock-net',)") == "E3.layer-missing"
    assert applied("threading.Thread(target=threading.Event().wait, daemon=True).start()") == "E3.threads-running"
    assert "FileNotFoundError" in applied("layers._descriptors = lambda keep: None", readable="('/nowhere',)")
    assert applied(
        "layers._descriptors = lambda keep: None", limits="layers.Limits(memory_bytes=0, cpu_seconds=1)"
    ).startswith("Usage")


def test_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UsageError, match="x86-64"):
        kernel.require_platform()


def test_the_kernel_s_answers_are_passed_on() -> None:
    with pytest.raises(OSError, match="landlock") as caught:
        kernel.syscall(444, None, 0, 99, what="landlock")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="prctl"):
        kernel.prctl(9999)
    assert landlock.version() >= 1


def test_available_layers_follow_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, depth in {0: 0, 3: 0, 4: 1, 6: 2, 9: 2}.items():
        monkeypatch.setattr(landlock, "version", lambda version=version: version)
        assert layers.available() == layers.BASE + layers.DEPTH[:depth]
    monkeypatch.undo()
    monkeypatch.setattr(kernel, "syscall", _no_call)
    assert landlock.version() == 0


def _no_call(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSYS, "none")


def test_the_filter_is_a_filter_and_its_jumps_fit() -> None:
    for calls in (syscalls.JOB, syscalls.READER, syscalls.ENGINE):
        program = seccomp.build(calls, pid=1234)
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096
        assert not set(calls) & set(syscalls.KILL)
        assert len(set(calls)) == len(calls)


def test_call_numbers_are_the_kernel_s() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    for name, number in syscalls.NUMBERS.items():
        assert int(known.get(name, number)) == number, name


def test_refusals_are_not_acceptable_errors() -> None:
    assert NotAcceptable("layer-missing", "x").code == "E3.layer-missing"


def test_every_status_has_an_outcome() -> None:
    assert {outcomes.of_exit(status) for status in range(256)} == set(outcomes.EXIT)
    assert all(outcomes.of_exit(status) == name for name, status in outcomes.EXIT.items())
