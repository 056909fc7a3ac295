"""Starts the command line; the only place that exits.

Runs in: a party.   Believes: nothing.   Spec: §10.4.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from sealroom.client import cli, errors, ui
from sealroom.protocol.errors import SealroomError, UsageError

TRACEBACK: Final = "SEALROOM_TRACEBACK"
"""Set in the environment, it prints the whole of an unexpected failure."""


def main() -> None:
    """Run `sealroom` and exit with the code that tells how it ended."""
    sys.exit(outcome(sys.argv[1:]))


def outcome(arguments: Sequence[str]) -> int:
    """Run one command line; print what went wrong; return the exit code."""
    as_json = "--json" in arguments
    try:
        return cli.run(arguments)
    except ui.Ended as ended:
        return _report(ended.error, as_json=as_json, more=ended.document)
    except SealroomError as error:
        return _report(error, as_json=as_json)
    except (click.ClickException, OSError) as error:
        return _report(_in_our_tree(error), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _report(errors.Interrupted("interrupted"), as_json=as_json)
    except Exception as error:  # noqa: BLE001 (the last resort: a person gets one line, never a wall of it)
        return _report(_defect(error), as_json=as_json)


def _defect(error: Exception) -> SealroomError:
    """What no other handler expects. Its own text is not shown: it may hold what a file or a job said."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    last = (traceback.extract_tb(error.__traceback__) or [None])[-1]
    place = "" if last is None else f" at {Path(last.filename).name}:{last.lineno}"
    hint = f"this is a defect of ours; {TRACEBACK}=1 prints all of it, which may show data: read it before you send it"
    return errors.Defect(f"unexpected {type(error).__name__}{place}", hint=hint)


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


def _report(error: SealroomError, *, as_json: bool, more: Mapping[str, Any] | None = None) -> int:
    if as_json:
        print(json.dumps({**(more or {}), **ui.error_document(error)}, ensure_ascii=False, sort_keys=True))
    suffix = f" [{error.code}]" if hasattr(error, "code") else ""
    ui.print_error(error.message + suffix, error.hint)
    for line in ui.check_lines(error):
        click.echo(line, err=True)
    return errors.exit_code(error)


if __name__ == "__main__":
    main()
