"""Opens the sealed reasons of a receipt: why a rule gave nothing, or a whole run ended, and what to do about it.

Runs in: an owner of an object.   Believes: a verified receipt.   Spec: §5.7, §7.6.

The host learns that something was withheld; the owners alone learn why. The words are this machine's own table.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

from sealroom.client.errors import NotAuthorized
from sealroom.client.home import Home
from sealroom.client.receipt import Verified
from sealroom.protocol import canonical, reasons, schema
from sealroom.protocol.errors import CannotOpen, Malformed
from sealroom.protocol.keys import SealingKey, from_text
from sealroom.protocol.schema import Many, Name, Text
from sealroom.protocol.statements import Receipt, reason_info

WHOLE_RUN: Final = "*"
MOST_BYTES: Final = 1 << 16
_Code = Annotated[str, Text(r"[A-Za-z0-9][A-Za-z0-9.-]*", 64)]


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why one rule was withheld, or the whole run (`rule` is None); `change` says what its reader can do."""

    rule: str | None
    code: str
    meaning: str
    change: str


@dataclasses.dataclass(frozen=True, slots=True)
class Why:
    """What a party can read of a receipt's reasons; without any, `instead` says why there is nothing to read."""

    reasons: tuple[Reason, ...]
    instead: str = ""

    def lines(self) -> list[str]:
        """Lines for a person."""
        found = [self.instead] if self.instead else []
        for item in self.reasons:
            where = "the run" if item.rule is None else item.rule
            found += [f"why {where}: {item.code}: {item.meaning}", f"  what to do: {item.change}"]
        return found

    def document(self) -> list[dict[str, object]]:
        """The same for programs."""
        return [dataclasses.asdict(item) for item in self.reasons]


@dataclasses.dataclass(frozen=True, slots=True)
class _Sealed:
    """What the gate sealed: codes by rule; `*` is the whole run."""

    rules: Annotated[dict[Name, _Code], Many(0, 64)]
    run: _Code | None


def of(found: Verified, home: Home) -> Why:
    """What this home's party can read about what a verified run withheld; asks for its passphrase only if there is any.

    A receipt that holds stays good whatever a reason says: one that cannot be read is told, not raised.
    """
    receipt = found.receipt.receipt
    if receipt.status == "completed" and all(result.outcome == "offered" for result in receipt.results):
        return Why(())
    sealed = receipt.reasons.get(home.config.party)
    if sealed is None:
        return Why((), "why: the reasons are sealed to the owners of what the run read; this party is none of them")
    try:
        return Why(opened(receipt, home.config.party, home.sealing_key()))
    except NotAuthorized as error:
        return Why((), f"why: the reasons are sealed to this party; {error.message}")
    except (CannotOpen, Malformed) as error:
        return Why((), f"why: the gate sealed no reasons that this party can read [{error.code}]")


def opened(receipt: Receipt, party: str, key: SealingKey) -> tuple[Reason, ...]:
    """The reasons that the gate sealed to `party`, in the order of the request's rules; the whole run's stands first.

    Raises:
        CannotOpen: not sealed to this key, this run or this party.
        Malformed: not codes by rule.
    """
    text = key.open(from_text(receipt.reasons[party]), info=reason_info(receipt.request, party))
    value = canonical.decode(text.rstrip(b" "), most=MOST_BYTES)
    if not isinstance(value, dict):
        raise Malformed("wrong-type", "the reasons are not an object")
    named = {rule: code for rule, code in value.items() if rule != WHOLE_RUN}
    sealed = schema.decode(_Sealed, {"rules": named, "run": value.get(WHOLE_RUN)}, "reasons")
    order = [result.rule for result in receipt.results if result.outcome == "withheld"]
    if not set(sealed.rules) <= set(order):
        raise Malformed("unknown-rule", "a reason is about a rule that was not withheld")
    run = [_reason(None, sealed.run)] if sealed.run is not None else []
    return (*run, *(_reason(rule, sealed.rules[rule]) for rule in order if rule in sealed.rules))


def _reason(rule: str | None, code: str) -> Reason:
    advice = reasons.advice(code)
    return Reason(rule, code, advice.meaning, advice.change)
