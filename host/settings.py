"""What an operator sets: one small TOML file in its home, and flags over it.

Runs in: host.   Believes: the operator.   Spec: §8.2.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import tomllib
import typing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sealroom.protocol import wire

FILE = "host.toml"
_PORTS = ("listen_port", "metrics_port")
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


class BadSettings(ValueError):
    """The settings cannot be used as they stand; the message names the setting."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting. Times in seconds, sizes in bytes; `home` is where the file was found."""

    home: Path
    operator_key: str
    listen_host: str = "127.0.0.1"
    listen_port: int = 8443
    public_url: str = ""
    launcher: str = "process"
    image: str = ""
    processor_socket: str = ""
    docker_engine: str = "unix:///var/run/docker.sock"
    # Where it keeps what it knows: "" for the file host.db in its home, or postgresql://... without a password.
    database: str = ""
    # One enclave's share of the machine (docker launcher).
    memory: int = 4 << 30
    processes: int = 256
    processors: float = 2.0
    # Waits.
    launch_wait: float = 60
    evidence_wait: float = 60
    grant_wait: float = wire.GRANT_WAIT
    challenge_wait: float = wire.CHALLENGE_WAIT
    run_wait: float = 4 * 3600
    consent_wait: float = 7 * 86400
    frame_wait: float = 30
    body_wait: float = 120
    stop_wait: float = 10
    # After SIGTERM, how long an enclave that computes may take to end well before it is ended.
    drain_wait: float = 20
    launch_attempts: int = 3
    # What callers may use of this machine.
    store_most: int = 64 << 30
    # Less free than this: no uploads, no new runs, no launches; statements and results still have room.
    disk_reserve: int = 2 << 30
    requests_per_second: float = 100
    requests_burst: int = 400
    open_runs: int = 64
    # What the operator watches. Logs go to `stderr`, or to `files`, one per day in the home's folder `logs`.
    logs: str = "stderr"
    metrics_port: int = 0
    # How long `sealroom-host prune` leaves what nobody is bound to need (docs/OPERATING.md).
    keep_results: float = 90 * 86400
    keep_offers: float = 365 * 86400
    keep_objects: float = 30 * 86400
    keep_logs: float = 30 * 86400

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is started with it."""
        _check(self)

    @property
    def url(self) -> str:
        """What callers sign as the authority: the public URL, without a slash at its end."""
        return (self.public_url or f"https://{_bracketed(self.listen_host)}:{self.listen_port}").rstrip("/")

    @property
    def certificate(self) -> Path:
        """The gateway's own certificate, which callers pin."""
        return self.home / "tls" / "certificate.pem"

    @property
    def private_key(self) -> Path:
        """The key of that certificate."""
        return self.home / "tls" / "key.pem"


def load(home: Path, **flags: Any) -> Settings:
    """The settings of `home`; a flag that is not None overrules the file.

    Raises:
        BadSettings: the file is missing, unreadable, or holds something unknown.
    """
    try:
        text = (home / FILE).read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise BadSettings(f"cannot read {FILE} in {home}: run `sealroom-host init` first") from error
    values |= {name: value for name, value in flags.items() if value is not None}
    return _build(home, values)


def save(settings: Settings) -> None:
    """Write what differs from the defaults; an existing file is left alone and refused.

    Raises:
        FileExistsError: there are settings already.
    """
    lines = [f"{name} = {json.dumps(value)}" for name, value in _chosen(settings)]
    descriptor = os.open(settings.home / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(["# Settings of this gateway; times in seconds, sizes in bytes.", *lines, ""]))


def choose_database(home: Path, url: str) -> None:
    """Have the file in `home` name another database; every other line stays as it is."""
    path = home / FILE
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if not re.match(r"\s*[\"']?database[\"']?\s*=", line)]
    chosen = [f"database = {json.dumps(url)}"] if url else []
    path.write_text("\n".join([*kept, *chosen, ""]), "utf-8")


def _chosen(settings: Settings) -> list[tuple[str, Any]]:
    fields = [f for f in dataclasses.fields(settings) if f.name != "home"]
    return [(f.name, getattr(settings, f.name)) for f in fields if getattr(settings, f.name) != f.default]


def _build(home: Path, values: dict[str, Any]) -> Settings:
    kinds = typing.get_type_hints(Settings)
    for name, value in values.items():
        if name not in kinds or name == "home":
            raise BadSettings(f"there is no setting called {name!r}")
        fits = isinstance(value, kinds[name]) or (kinds[name] is float and isinstance(value, int))
        if not fits or isinstance(value, bool):
            raise BadSettings(f"{name} must be of type {kinds[name].__name__}")
    if "operator_key" not in values:
        raise BadSettings("operator_key is missing")
    return Settings(home=home, **values)


def _check(settings: Settings) -> None:
    if not _KEY.fullmatch(settings.operator_key):
        raise BadSettings("operator_key must be an Ed25519 public key: 43 characters of base64url")
    if settings.launcher not in ("process", "docker"):
        raise BadSettings("launcher must be 'process' or 'docker'")
    if settings.launcher == "docker" and settings.image and not _IMAGE_ID.fullmatch(settings.image):
        raise BadSettings("image must be an image id (sha256:...), because a tag can be moved to other bytes")
    if not settings.docker_engine.startswith("unix:///"):
        raise BadSettings("docker_engine must be a Unix socket (unix:///...), which the processor can reach too")
    if settings.logs not in ("stderr", "files"):
        raise BadSettings("logs must be 'stderr' or 'files'")
    _check_numbers(settings)
    _check_url(settings.url)
    check_database(settings.database)


def _check_numbers(settings: Settings) -> None:
    for name in _PORTS:
        if not 0 <= getattr(settings, name) < 1 << 16:
            raise BadSettings(f"{name} must be in 0..65535")
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, (int, float)) and field.name not in _PORTS and value <= 0:
            raise BadSettings(f"{field.name} must be above zero")
    if settings.keep_offers < settings.keep_results:
        raise BadSettings("keep_offers must not be shorter than keep_results: an offer says what a ciphertext is")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and not parts.path and not parts.query and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BadSettings("public_url must be https://host[:port] without a path")


def check_database(url: str) -> None:
    """Return if it is "" or a URL of PostgreSQL without a password, as the settings are in every backup.

    Raises:
        BadSettings: it is not; the message does not repeat it.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        secrets = {"password", "sslpassword"} & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        good = parts.scheme in ("postgresql", "postgres") and url.isprintable() and not {" ", "#"} & set(url)
        good = good and url.partition(":")[2].startswith("//")
    except ValueError:
        good, parts, secrets = False, urlsplit(""), set()
    if secrets or parts.password is not None:
        raise BadSettings(
            "database must hold no password; put it into a passfile (passfile=... in the URL, or ~/.pgpass)"
        )
    if not good:
        raise BadSettings("database must be empty or postgresql://[user@][host]/name[?...]")


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
