"""`sealroom inbox`: what waits for a person, and the decision.

Runs in: an owner, beside its broker.   Believes: officers that the agreement names.   Spec: §5.8.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import click

from sealroom.client import inbox, keyfile, passphrase, plain, ui
from sealroom.client.home import Home
from sealroom.client.inbox import Standing
from sealroom.client.ui import Ui
from sealroom.protocol.errors import UsageError
from sealroom.protocol.keys import SigningKey


@ui.command("list", example="sealroom inbox list")
@click.option("--all", "everything", is_flag=True, help="Also what was decided.")
def list_(ui: Ui, *, everything: bool) -> None:
    """Show every release that waits for people: what leaves, to whom, under which guarantee, at what cost."""
    home = ui.home()
    waiting = [item for item in inbox.questions(home) if everything or item.outcome is None]
    text = "\n\n".join("\n".join(_lines(item)) for item in waiting) or "nothing waits"
    ui.show({"releases": [_document(item) for item in waiting]}, text)


@ui.command("approve", example="sealroom inbox approve 3f9c2a --officer alice.key")
@click.argument("release")
@click.option("--officer", type=click.Path(dir_okay=False), metavar="FILE", help="The officer's key file.")
@click.option("--reason", default="approved", show_default=True, metavar="TEXT", help="Others will read it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def approve(ui: Ui, release: str, officer: str | None, reason: str, *, yes: bool) -> None:
    """Let RELEASE go, as one officer of this party; the broker acts once enough officers said so."""
    _decide(ui, release, "release", (officer, reason), yes=yes)


@ui.command("refuse", example="sealroom inbox refuse 3f9c2a --reason 'not this quarter'")
@click.argument("release")
@click.option("--officer", type=click.Path(dir_okay=False), metavar="FILE", help="The officer's key file.")
@click.option("--reason", required=True, metavar="TEXT", help="Others will read it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def refuse(ui: Ui, release: str, officer: str | None, reason: str, *, yes: bool) -> None:
    """Refuse RELEASE; one officer's no is enough."""
    _decide(ui, release, "refuse", (officer, reason), yes=yes)


class _Inbox(click.Group):
    """A group that lists when it is called by its name alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` where a subcommand is missing; `--json` may stand before either."""
        early = list(itertools.takewhile(lambda word: word == "--json", args))
        rest = args[len(early) :]
        if not rest or (rest[0].startswith("-") and rest[0] != "--help"):
            rest = ["list", *rest]
        return super().parse_args(ctx, [*early, *rest])


@click.group("inbox", cls=_Inbox, params=ui.early_options(), epilog="\b\nExample:\n  sealroom inbox approve 3f9c2a")
def command() -> None:
    """See and decide what waits for a person; `sealroom inbox` alone lists it."""


for _sub in (list_, approve, refuse):
    command.add_command(_sub)


def _decide(ui: Ui, release: str, answer: inbox.Answer, said: tuple[str | None, str], *, yes: bool) -> None:
    home = ui.home()
    officer, reason = said
    found = inbox.find(home, release)
    for line in _lines(found):
        ui.say(line)
    ui.confirm(f"{'let this go' if answer == 'release' else 'refuse this'}?", yes=yes)
    key = _key(home, officer)
    inbox.decide(home, found.question.release, answer, remark=reason, now=int(time.time()), key=key)
    after = inbox.find(home, found.question.release)
    ui.show(_document(after), f"noted; {len(after.yes)} of {after.question.needed} said yes, the broker does the rest")


def _key(home: Home, officer: str | None) -> SigningKey:
    if officer is None:
        return home.signing_key()
    path = Path(officer)
    if not path.is_file():
        raise UsageError(f"there is no key file {officer}", hint="make one: `sealroom keygen FILE`")
    return keyfile.unlock_signing(path, passphrase.ask(f"the key {officer}"))


def _lines(item: Standing) -> list[str]:
    question = item.question
    lines = [f"release {question.release[:12]} of run {question.run[:12]}: {question.rule} to {question.recipient}"]
    lines += [f"  {line}" for line in question.lines]
    lines.append(f"  decide by {plain.date(question.deadline)}; {len(item.yes)} of {question.needed} said yes")
    if item.refusal is not None:
        lines.append(f"  refused: {item.refusal}")
    if item.outcome is not None:
        lines.append(f"  answered: {item.outcome.decision}")
    return lines


def _document(item: Standing) -> dict[str, object]:
    question = item.question
    names = ("release", "run", "agreement", "rule", "recipient", "needed", "asked", "deadline")
    return {name: getattr(question, name) for name in names} | {
        "lines": list(question.lines), "yes": len(item.yes), "refused": item.refusal,
        "outcome": None if item.outcome is None else item.outcome.decision,
    }  # fmt: skip
