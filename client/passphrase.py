"""Where a passphrase comes from: a private file, the environment, or the person; never the command line.

Runs in: a party.   Believes: its own environment.   Spec: §10.1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from sealroom.client import files
from sealroom.client.errors import NotAuthorized
from sealroom.protocol.errors import UsageError

FILE_VARIABLE: Final = "SEALROOM_PASSPHRASE_FILE"
VARIABLE: Final = "SEALROOM_PASSPHRASE"
SHORTEST: Final = 8
_LONGEST = 1024


def source() -> str:
    """In words, where `ask` would take the passphrase from now."""
    if os.environ.get(FILE_VARIABLE):
        return f"the file that {FILE_VARIABLE} names"
    if os.environ.get(VARIABLE):
        return f"the environment variable {VARIABLE}"
    return "a prompt" if sys.stdin.isatty() else "nowhere"


def ask(what: str, *, new: bool = False) -> str:
    """The passphrase for `what`; a new one is asked for twice and must not be short.

    Raises:
        NotAuthorized: there is none, and nobody to ask.
        UsageError: a new one is too short, or its file is open to others.
    """
    phrase = _from_environment()
    if phrase is None:
        if not sys.stdin.isatty():
            raise NotAuthorized(f"no passphrase for {what}", hint=f"name a file of mode 600 in {FILE_VARIABLE}")
        phrase = click.prompt(f"passphrase for {what}", hide_input=True, confirmation_prompt=new, err=True)
    if new and len(phrase) < SHORTEST:
        raise UsageError(f"a passphrase has at least {SHORTEST} characters", hint="five random words are a good one")
    return phrase


def _from_environment() -> str | None:
    named = os.environ.get(FILE_VARIABLE)
    if not named:
        return os.environ.get(VARIABLE) or None
    path = Path(named)
    files.require_private(path)
    try:
        phrase = files.read(path, most=_LONGEST).decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} does not hold text") from error
    if not phrase:
        raise NotAuthorized(f"{path} holds no passphrase")
    return phrase
