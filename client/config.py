"""What a home knows about itself: whose it is, what that party does, and which gateway it calls.

Runs in: a party.   Believes: its own file.   Spec: §10.1.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from sealroom.client import files
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.schema import Name, Prose, Text

Role = Literal["bank", "partner", "recipient", "operator"]
Url = Annotated[str, Text(r"https?://[A-Za-z0-9.\-\[\]:]+", 300)]
_MOST_BYTES = 16 << 10
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One party per home. `gateway` is scheme, host and port; its certificate is the only one that is trusted."""

    format: Literal["sealroom/home/v1"]
    party: Name
    role: Role
    gateway: Url | None
    gateway_certificate: Prose | None

    @property
    def certificate(self) -> Path | None:
        """Where the pinned certificate (PEM) lies."""
        return None if self.gateway_certificate is None else Path(self.gateway_certificate)


def make(*, party: str, role: Role, gateway: str | None = None, gateway_certificate: str | None = None) -> Config:
    """A checked configuration.

    Raises:
        UsageError: a name or address has a form that is not allowed, or the gateway would be called in the clear.
    """
    document = {
        "format": "sealroom/home/v1", "party": party, "role": role,
        "gateway": gateway.rstrip("/") if gateway else None, "gateway_certificate": gateway_certificate,
    }  # fmt: skip
    try:
        config = schema.decode(Config, document)
    except Malformed as error:
        raise UsageError(
            error.message, hint="names are lower case and start with a letter; a gateway is https://host:port"
        ) from error
    _require_safe_gateway(config)
    return config


def load(path: Path) -> Config:
    """The configuration at `path`.

    Raises:
        Malformed: it is not one.
    """
    try:
        value = json.loads(files.read(path, most=_MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{path} is not a configuration") from error
    config = schema.decode(Config, value)
    _require_safe_gateway(config)
    return config


def save(path: Path, config: Config, *, overwrite: bool = False) -> None:
    """Write the configuration as readable JSON."""
    text = json.dumps(schema.encode(config), indent=2) + "\n"
    files.write(path, text.encode(), overwrite=overwrite)


def _require_safe_gateway(config: Config) -> None:
    """Plain HTTP only to this machine: what travels is signed and sealed, but who talks to whom is not."""
    if config.gateway is None:
        return
    parts = urlsplit(config.gateway)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise UsageError(
            "a gateway on another machine is called by https only", hint="use https://, and pin its certificate"
        )
    if parts.scheme == "https" and config.gateway_certificate is None:
        raise UsageError(
            "the gateway's certificate is not pinned", hint="name its PEM file with `--gateway-certificate FILE`"
        )
