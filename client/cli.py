"""The `sealroom` command: a table of names, each imported only when it is called.

Runs in: a party.   Believes: nothing.   Spec: §10.4.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final

import click

from sealroom import __version__
from sealroom.client import ui
from sealroom.protocol.errors import UsageError

_HERE = "sealroom.client.commands."
SECTIONS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Begin": {
        "init": ("init:command", "Make a home and keys for one party."),
        "next": ("next:command", "What is waiting for me, and the command that does it."),
        "doctor": ("doctor:command", "Look for what would stop a run on this machine."),
        "backup": ("backup:backup", "Write this party's home to one sealed file."),
        "restore": ("backup:restore", "Make a home out of a backup; its ledger is frozen until confirmed."),
        "keygen": ("keygen:command", "Make officer keys, or replace this party's keys."),
        "demo": ("demo:command", "Play bank, partner and operator on this machine."),
    },
    "Agree": {
        "columns": ("columns:command", "Propose column declarations for a CSV file."),
        "agreement": ("agreement:command", "Draft, sign, show, compare and pin agreements."),
        "measure": ("measure:command", "Compute an image's measurement."),
        "approve": ("approve:command", "Approve a measurement for an agreement."),
        "revoke": ("approve:revoke", "Take an approval back."),
        "stop": ("stop:command", "End this party's part in an agreement at once."),
    },
    "Bring": {
        "pack": ("pack:command", "Make a deterministic bundle of a job's code."),
        "mock": ("mock:command", "Try a bundle on made-up rows in the same jail."),
        "seal": ("seal:command", "Check and encrypt data or code on this machine."),
        "submit": ("submit:command", "Send agreement, approvals and ciphertext to the gateway."),
    },
    "Run": {
        "run": ("run:command", "Ask for a run."),
        "watch": ("watch:command", "Follow a run."),
        "broker": ("broker:command", "Answer for this party: challenge, appraise, grant, consent."),
        "ledger": ("ledger:command", "See what was spent; end the freeze of a restored ledger."),
        "inbox": ("inbox:command", "See and decide what waits for a person."),
        "results": ("results:command", "Collect and open what was released to this party."),
        "receipt": ("receipt:command", "Verify a receipt offline."),
        "cosign": ("cosign:command", "Sign that a receipt was seen and holds."),
        "audit": ("audit:command", "Export an agreement's whole history; prove it offline."),
    },
}
COMMANDS: Final = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
EXIT_CODES: Final = (
    "0 done, 1 failed or not found out, 2 wrong use, 3 refused by a check, 4 not authorized, "
    "5 waiting for somebody, 6 attestation mismatch, 7 budget spent"
)


class LazyGroup(click.Group):
    """Commands by the table; listing them imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Every name in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Import one command.

        Raises:
            UsageError: the table names it, and this installation does not have it.
        """
        if cmd_name not in COMMANDS:
            return None
        place, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            found = getattr(importlib.import_module(_HERE + place), attribute)
        except ModuleNotFoundError as error:
            raise _not_installed(cmd_name, error) from error
        if not isinstance(found, click.Command):
            raise UsageError(f"`{cmd_name}` is not a command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's signature)
        """One block per section, from the table alone."""
        for section, entries in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, summary) for name, (_, summary) in entries.items()])


def _not_installed(name: str, error: ModuleNotFoundError) -> UsageError:
    missing = error.name or ""
    if missing.startswith(_HERE.rstrip(".")):
        return UsageError(f"`{name}` is not part of this installation")
    return UsageError(f"`{name}` needs the package {missing}", hint="install it with `pip install 'sealroom[all]'`")


@click.command(
    cls=LazyGroup,
    params=ui.early_options(),
    epilog=f"Exit codes: {EXIT_CODES}.\n\n\b\nExample:\n  sealroom init --role bank --name bank",
)
@click.version_option(__version__, prog_name="sealroom", message="%(prog)s %(version)s")
def cli() -> None:
    """Run hidden code on hidden data, and let out only what the owners agreed to."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every failure is an exception.

    Raises:
        SealroomError: as the command does.
        click.ClickException: the command line cannot be read.
    """
    code = cli.main(args=list(arguments), prog_name="sealroom", standalone_mode=False)
    return code if isinstance(code, int) else 0
