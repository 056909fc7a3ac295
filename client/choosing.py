"""Finds the agreement that a command is about: by file, by id, from the home, or from the gateway.

Runs in: a party.   Believes: what `pinning` verified.   Spec: §4.2.
"""

from __future__ import annotations

from pathlib import Path

from sealroom.client import agreeing
from sealroom.client.errors import Waiting
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.protocol.errors import UsageError


def agreement(home: Home, choice: str | None) -> PinnedAgreement:
    """The pinned agreement; a file that everybody signed is pinned on the way.

    What is not in the home is looked for at the gateway, among what this party signed.

    Raises:
        UsageError: nothing, or more than one, matches.
        Waiting: the file still lacks signatures.
        NotGenuine, NotAcceptable: the file may not be pinned.
    """
    if choice is not None and Path(choice).is_file():
        envelope = agreeing.read(Path(choice)).envelope
        if envelope is None:
            raise UsageError(f"{choice} is a draft", hint=f"sign it: `sealroom agreement sign {choice}`")
        return agreeing.pin(home, envelope)
    known = [pinned for pinned in home.agreements() if pinned.id.startswith(choice or "")]
    if home.config.gateway is not None and not known:
        fetch(home, Gateway(home))
    return home.agreement(choice)


def fetch(home: Home, gateway: Gateway) -> list[PinnedAgreement]:
    """Pin what the gateway holds, this party signed, and this home lacks; oldest versions first."""
    known = {pinned.id: pinned.agreement.sequence for pinned in home.agreements()}
    entries = sorted(gateway.agreements(), key=lambda entry: (entry.agreement, entry.sequence))
    new = [entry for entry in entries if entry.sequence > known.get(entry.agreement, 0)]
    return agreeing.fetch(home, [gateway.agreement(entry.version) for entry in new])


def pair(text: str, what: str) -> tuple[str, Path]:
    """`NAME=FILE` taken apart.

    Raises:
        UsageError: it is not of that form.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"{text!r} is not {what}")
    return name, Path(path)


def require_gateway(home: Home) -> Gateway:
    """The home's gateway.

    Raises:
        UsageError: it names none.
    """
    if home.config.gateway is None:
        hint = "give its address: `sealroom init --gateway URL --gateway-certificate FILE`"
        raise UsageError("this home knows no gateway", hint=hint)
    return Gateway(home)


def nobody_waits(what: str) -> Waiting:
    """The error for a command that finds nothing to do yet."""
    return Waiting(what, hint="`sealroom next` says what is missing")
