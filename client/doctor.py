"""Looks for what would stop a run on this machine, before it does.

Runs in: a party.   Believes: its own kernel and files.   Spec: §10.4.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import os
import platform
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

from sealroom.client import approving, files, next_steps, passphrase, plain
from sealroom.client.errors import NotAuthorized
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol import wire
from sealroom.protocol.errors import SealroomError

Health = Literal["ok", "note", "bad"]
"""`note`: worth knowing, stops nothing for a party; `bad`: some command will fail."""
_LANDLOCK_CREATE_RULESET = 444  # the number on every architecture (Linux 5.13)
_ABI_ONLY = 1
_DOCKER = "unix:///var/run/docker.sock"
_ENGINE_SECONDS = 2.0
_SERVER = ("fastapi", "uvicorn")
_ANSWER_MOST = 1 << 16
_DOCKER_PORT = 2375
_OLDEST_PYTHON = (3, 11)
_API = "v1"


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
    gateway = list(_gateway(home))
    if ("gateway", "ok") in {(finding.name, finding.health) for finding in gateway}:
        gateway += _known(home)
    return [*found, *_home(home), _passphrase(), *gateway, *_attestation(home)]


def lacking(*, docker: bool) -> list[Finding]:
    """What this machine lacks to launch an enclave: everything at once, so that it can be mended in one go."""
    system, machine = platform.system(), platform.machine()
    fits = (system, machine) == ("Linux", "x86_64")
    kind = Finding("machine", "ok" if fits else "bad", f"{system} on {machine}; the enclave runs on Linux on x86-64")
    old = sys.version_info < _OLDEST_PYTHON
    python = Finding("python", "bad" if old else "ok", f"{platform.python_version()}; 3.11 or later is needed")
    needed = (*_SERVER, "docker") if docker else _SERVER
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    packages = Finding("packages", "bad" if missing else "ok", ", ".join(missing), "pip install 'sealroom[all]'")
    kernel = [dataclasses.replace(f, health="bad") for f in _kernel() if f.health != "ok"] if fits else []
    engine = [_docker()] if docker else []
    engine = [dataclasses.replace(f, health="bad") for f in engine if f.health != "ok"]
    return [f for f in (kind, python, packages, *kernel, *engine) if f.health == "bad"]


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
    """The engine that DOCKER_HOST names, or the usual one."""
    engine = os.environ.get("DOCKER_HOST") or _DOCKER
    try:
        _reach(engine)
    except (OSError, ValueError) as error:
        words = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        detail = f"no engine at {engine}: {words}; only an operator that launches containers needs one"
        return Finding("docker", "note", detail, "start it, or name another one in DOCKER_HOST")
    return Finding("docker", "ok", f"an engine takes connections at {engine}")


def _reach(engine: str) -> None:
    """Connect to an engine's socket, and leave again.

    Raises:
        OSError: nobody listens there, or not for this user.
        ValueError: not an address that can be looked at.
    """
    kind, _, place = engine.partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_ENGINE_SECONDS)
            sock.connect(place)
    elif kind in ("tcp", "http", "https"):
        parts = urllib.parse.urlsplit(engine)
        if parts.hostname is None:
            raise ValueError("it names no host")
        port = parts.port or _DOCKER_PORT
        socket.create_connection((parts.hostname, port), _ENGINE_SECONDS).close()
    else:
        raise ValueError("not a unix:// or tcp:// address, so it was not looked at")


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
    yield Finding("gateway", "ok", f"{home.config.gateway} answers, in version {_API} of the interface")
    if date is None:
        yield Finding("clock", "note", "the gateway does not say what time it has")
        return
    skew = int(time.time()) - date
    far = abs(skew) > wire.REQUEST_SKEW // 2
    detail = f"{abs(skew)} seconds {'ahead of' if skew >= 0 else 'behind'} the gateway's"
    yield Finding("clock", "bad" if far else "ok", detail, "set this machine's clock (NTP)" if far else "")


def _known(home: Home) -> Iterator[Finding]:
    """Whether the gateway takes this party's signature; asked only where the passphrase needs nobody to type it."""
    if passphrase.source() in ("nowhere", "a prompt"):
        return
    try:
        count = len({entry.agreement for entry in Gateway(home).agreements()})
    except NotAuthorized as error:
        hint = "its operator registers the agreement that all have signed"
        yield Finding("gateway key", "note", f"the gateway does not know this party yet: {error.message}", hint)
    except SealroomError as error:
        yield Finding("gateway key", "bad", error.message, error.hint)
    else:
        yield Finding("gateway key", "ok", f"the gateway knows this party, in {count} agreement{'s' * (count != 1)}")


def _attestation(home: Home) -> Iterator[Finding]:
    """Per agreement that holds: which roots evidence may lead to, and whether this party's approval still counts."""
    now = int(time.time())
    for pinned in _holding(home, now):
        agreed, short = pinned.agreement, pinned.id[:12]
        roots = [root for policy in agreed.platforms for root in policy.roots]
        words = (
            f"{short}: {agreed.platform_class}, root {', '.join(f'{root[:16]}...' for root in roots) or 'not named'}"
        )
        weak = agreed.platform_class == "simulated"
        hint = "a simulated platform protects nobody from its operator" if weak else ""
        yield Finding("platform", "ok" if roots else "bad", words, hint)
        if home.config.party in next_steps.owners(pinned):
            yield _approval(home, pinned, now)


def _holding(home: Home, now: int) -> list[PinnedAgreement]:
    try:
        return [pinned for pinned in home.agreements() if pinned.agreement.not_after >= now]
    except SealroomError:  # told under `agreements`
        return []


def _approval(home: Home, pinned: PinnedAgreement, now: int) -> Finding:
    hint = f"sealroom approve --image IMAGE --agreement {pinned.id[:12]}"
    try:
        own = approving.own(home, pinned.id)
    except SealroomError as error:
        return Finding("approval", "bad", error.message, error.hint)
    if not own:
        return Finding("approval", "note", f"{pinned.id[:12]}: you have approved no image", hint)
    newest = max((approval for _, approval in own), key=lambda approval: approval.not_after)
    if newest.not_after <= now:
        return Finding("approval", "bad", f"{pinned.id[:12]}: yours ended at {plain.date(newest.not_after)}", hint)
    words = f"{pinned.id[:12]}: {newest.measurement[:16]}... until {plain.date(newest.not_after)}"
    return Finding("approval", "ok", words)


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
            client.stream("GET", f"{base}/{_API}/health") as answer,
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
