"""Starts the command line; the only place that exits.

Runs in: a party.   Believes: nothing.   Spec: §10.4.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import click

from sealroom.client import cli, errors, ui
from sealroom.protocol.errors import SealroomError, UsageError


def main() -> None:
    """Run `sealroom` and exit with the code that tells how it ended."""
    sys.exit(outcome(sys.argv[1:]))


def outcome(arguments: Sequence[str]) -> int:
    """Run one command line; print what went wrong; return the exit code."""
    as_json = "--json" in arguments
    try:
        return cli.run(arguments)
    except SealroomError as error:
        return _report(error, as_json=as_json)
    except (click.ClickException, OSError) as error:
        return _report(_in_our_tree(error), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        ui.print_error("interrupted")
        return errors.INTERRUPTED


def _in_our_tree(error: click.ClickException | OSError) -> SealroomError:
    if isinstance(error, click.ClickException):
        return _as_usage(error)
    if isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the reader of stdout left; nothing more may be flushed to it)
    place = f"{error.filename}: " if error.filename else ""
    return errors.Unreachable(f"{place}{(error.strerror or str(error)).lower()}")


def _as_usage(error: click.ClickException) -> UsageError:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context is not None else ""
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _report(error: SealroomError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(ui.error_document(error), ensure_ascii=False, sort_keys=True))
    suffix = f" [{error.code}]" if hasattr(error, "code") else ""
    ui.print_error(error.message + suffix, error.hint)
    return errors.exit_code(error)


if __name__ == "__main__":
    main()
