"""Looks for what would stop a run on this machine, before it does.

Runs in: a party.   Believes: its own kernel and files.   Spec: §10.4.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import platform
import shutil
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

from sealroom.client import files, passphrase
from sealroom.client.home import Home
from sealroom.protocol import wire
from sealroom.protocol.errors import SealroomError

Health = Literal["ok", "note", "bad"]
"""`note`: worth knowing, stops nothing for a party; `bad`: some command will fail."""
_LANDLOCK_CREATE_RULESET = 444  # the number on every architecture (Linux 5.13)
_ABI_ONLY = 1
_DOCKER_SOCKET = "/var/run/docker.sock"
_ANSWER_MOST = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    health: Health
    detail: str
    hint: str = ""


def examine(home: Home | None) -> list[Finding]:
    """Everything, in the order in which a party needs it; `home` is None when there is none."""
    found = [_python(), *_kernel(), _docker()]
    if home is None:
        return [*found, Finding("home", "note", "there is none yet", "sealroom init --role ROLE --name NAME")]
    return [*found, *_home(home), _passphrase(), *_gateway(home)]


def _python() -> Finding:
    """The version is known to do, or this file could not have been installed."""
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _kernel() -> Iterator[Finding]:
    """What only the operator's machine needs, so that a lack of it is a note here."""
    where = "runs of enclaves need it; a party's own commands do not"
    abi = _landlock_abi()
    yield Finding("landlock", "ok" if abi > 0 else "note", f"ABI {abi}" if abi > 0 else f"not there: {where}")
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    yield Finding(
        "seccomp", "ok" if actions.exists() else "note", "there" if actions.exists() else f"not there: {where}"
    )
    memfd = hasattr(os, "memfd_create")
    yield Finding("memfd", "ok" if memfd else "note", "there" if memfd else f"not there: {where}")


def _landlock_abi() -> int:
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ABI_ONLY)))


def _docker() -> Finding:
    if os.access(_DOCKER_SOCKET, os.R_OK | os.W_OK):
        return Finding("docker", "ok", f"{_DOCKER_SOCKET} can be used")
    program = shutil.which("docker")
    detail = "the program is there, its engine cannot be reached" if program else "not there"
    return Finding("docker", "note", f"{detail}; only an operator that launches containers needs it")


def _home(home: Home) -> Iterator[Finding]:
    yield _check("home", lambda: files.require_private(home.root), str(home.root))
    for name in ("signing", "sealing"):
        path = home.root / "keys" / f"{name}.key"
        yield _check(f"{name} key", lambda path=path: files.require_private(path), "readable by you alone")  # type: ignore[misc]
    yield _check("card", home.card, f"fingerprint {_fingerprint(home)}")
    yield _check("agreements", home.agreements, "every signature holds")


def _fingerprint(home: Home) -> str:
    try:
        return home.card().fingerprint
    except SealroomError:
        return "unknown"


def _passphrase() -> Finding:
    source = passphrase.source()
    if source == "nowhere":
        return Finding(
            "passphrase", "bad", "there is no source for it", f"name a file of mode 600 in {passphrase.FILE_VARIABLE}"
        )
    named = os.environ.get(passphrase.FILE_VARIABLE)
    if named:
        return _check("passphrase", lambda: files.require_private(Path(named)), f"from {source}")
    health: Health = "note" if source.startswith("the environment") else "ok"
    return Finding("passphrase", health, f"from {source}")


def _gateway(home: Home) -> Iterator[Finding]:
    if home.config.gateway is None:
        yield Finding("gateway", "note", "none is set", "sealroom init --gateway URL --gateway-certificate FILE")
        return
    try:
        date = _ask_date(home.config.gateway, home.config.certificate)
    except (OSError, ValueError) as error:
        words = type(error).__name__ if not str(error) else str(error).splitlines()[0][:200]
        hint = "ask its operator whether it runs, and whether its certificate is still this one"
        yield Finding("gateway", "bad", f"{home.config.gateway} does not answer: {words}", hint)
        return
    yield Finding("gateway", "ok", f"{home.config.gateway} answers")
    if date is None:
        yield Finding("clock", "note", "the gateway does not say what time it has")
        return
    skew = int(time.time()) - date
    far = abs(skew) > wire.REQUEST_SKEW // 2
    detail = f"{abs(skew)} seconds {'ahead of' if skew >= 0 else 'behind'} the gateway's"
    yield Finding("clock", "bad" if far else "ok", detail, "set this machine's clock (NTP)" if far else "")


def _ask_date(base: str, certificate: Path | None) -> int | None:
    """The gateway's time in seconds since 1970, from an unsigned call: it must work when signed ones do not.

    Raises:
        OSError: nobody answers, or with another certificate.
    """
    import httpx2  # noqa: PLC0415 (only this check needs it)

    verify: ssl.SSLContext | bool = True
    if certificate is not None:
        verify = ssl.create_default_context(cafile=str(certificate))
    try:
        with (
            httpx2.Client(verify=verify, timeout=10, trust_env=False) as client,
            client.stream("GET", f"{base}/v1/health") as answer,
        ):
            size = sum(len(part) for part in _bounded(answer.iter_raw(4096)))
            if not answer.is_success or size > _ANSWER_MOST:
                raise ValueError(f"status {answer.status_code}")
            date = answer.headers.get("date")
    except httpx2.HTTPError as error:
        raise OSError(str(error)) from error
    return None if date is None else int(parsedate_to_datetime(date).timestamp())


def _bounded(parts: Iterator[bytes]) -> Iterator[bytes]:
    left = _ANSWER_MOST + 1
    for part in parts:
        yield part
        left -= len(part)
        if left <= 0:
            return


def _check(name: str, test: Callable[[], object], detail: str) -> Finding:
    try:
        test()
    except SealroomError as error:
        return Finding(name, "bad", error.message, error.hint)
    return Finding(name, "ok", detail)
