"""How commands talk: data on stdout, talk on stderr, one JSON object when `--json` asks for it.

Runs in: a party.   Believes: nothing.   Spec: §10.4.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

import click

from sealroom.client import progressing
from sealroom.protocol.errors import SealroomError, UsageError

if TYPE_CHECKING:
    from sealroom.client.home import Home

FORMAT: Final = "sealroom/cli/v1"
P = ParamSpec("P")
_TICK: Final = 0.2
_FOLDER = click.Path(file_okay=False)


_JSON_ANYWHERE: Final = "sealroom.client.as_json"
_HOME_ANYWHERE: Final = "sealroom.client.home"


class Declined(SealroomError):
    """A person was asked and said no."""


class Ended(Exception):
    """A command ends with `error`, and its JSON answer holds `document` beside it."""

    def __init__(self, error: SealroomError, document: Mapping[str, Any]) -> None:
        """Keep both."""
        super().__init__(error.message)
        self.error, self.document = error, document


@dataclasses.dataclass(frozen=True, slots=True)
class Ui:
    """What every command gets: how to answer, and whose home to use."""

    as_json: bool = False
    home_folder: Path | None = None

    def home(self) -> Home:
        """The party's home.

        Raises:
            UsageError: there is none yet.
        """
        from sealroom.client.home import Home  # noqa: PLC0415 (commands that need no home start faster)

        return Home.open(self.home_folder)

    def show(self, document: Mapping[str, Any], text: str) -> None:
        """The command's answer: `text` for people, `document` (the same in JSON) for programs."""
        if self.as_json:
            text = json.dumps({**document, "format": FORMAT}, ensure_ascii=False, sort_keys=True)
        click.echo(text)

    def event(self, document: Mapping[str, Any]) -> None:
        """One JSON line while a command goes on, if it answers in JSON at all."""
        if self.as_json:
            self.show({"event": dict(document)}, "")

    def say(self, line: str) -> None:
        """One line of talk."""
        click.echo(line, err=True)

    def hint(self, line: str) -> None:
        """What to do next, as talk."""
        self.say(f"sealroom: hint: {line}")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Return if a person, or `--yes`, agrees.

        Raises:
            UsageError: there is nobody to ask.
            Declined: the answer was no.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to confirm this", hint="read it first, then say `--yes`")
        if not click.confirm(question, err=True):
            raise Declined("nothing was done")

    @contextlib.contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal, nothing elsewhere; call the result with each step's size."""
        size = max(total, 1)
        hidden = not sys.stderr.isatty()
        with click.progressbar(
            length=size, label=what, file=sys.stderr, hidden=hidden, update_min_steps=max(size // 500, 1)
        ) as bar:
            yield bar.update

    @contextlib.contextmanager
    def reading(self, what: str, total: int) -> Iterator[None]:
        """A bar over `total` bytes that are read through `progressing` while the block lasts."""
        with self.progress(what, total) as step, progressing.watched(step):
            yield

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Seconds counted on a terminal while the block lasts, nothing elsewhere: for work that says nothing itself."""
        if not sys.stderr.isatty():
            yield
            return
        over, began = threading.Event(), time.monotonic()

        def count() -> None:
            while not over.wait(_TICK):
                click.echo(f"\r{what}: {time.monotonic() - began:.0f} s", nl=False, err=True)

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            click.echo(f"\r{' ' * (len(what) + 12)}\r", nl=False, err=True)


def command(name: str, *, example: str) -> Callable[[Callable[Concatenate[Ui, P], None]], click.Command]:
    """Make a command of a function whose first argument is a `Ui`; its docstring is the help, `example` ends it."""

    def wrap(function: Callable[Concatenate[Ui, P], None]) -> click.Command:
        @functools.wraps(function)
        def run(*args: P.args, **options: P.kwargs) -> None:
            meta = click.get_current_context().meta
            as_json = bool(options.pop("as_json")) or bool(meta.get(_JSON_ANYWHERE))
            folder = _path(options.pop("home_folder")) or _path(meta.get(_HOME_ANYWHERE))
            function(Ui(as_json=as_json, home_folder=folder), *args, **options)

        for option in (
            click.option("--home", "home_folder", type=_FOLDER, metavar="DIR", help="This party's folder."),
            click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object."),
        ):  # fmt: skip
            run = option(run)
        return click.command(name, help=inspect.getdoc(function), epilog=f"\b\nExample:\n  {example}")(run)

    return wrap


def early_options() -> list[click.Parameter]:
    """`--json` and `--home` for a group, so that they may stand before the name of the command as well."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
        def remember(context: click.Context, _: click.Parameter, value: object) -> None:
            if value:
                context.meta[name] = value

        return remember

    return [
        click.Option(["--json"], is_flag=True, hidden=True, expose_value=False, callback=keep(_JSON_ANYWHERE)),
        click.Option(["--home"], type=_FOLDER, hidden=True, expose_value=False, callback=keep(_HOME_ANYWHERE)),
    ]


def error_document(error: SealroomError) -> dict[str, Any]:
    """What `--json` prints when a command fails; a refusal of evidence has every check that was made."""
    code = getattr(error, "code", type(error).__name__)
    told: dict[str, Any] = {"code": code, "message": error.message, "hint": error.hint}
    if (made := checks(error)) is not None:
        told["checks"] = made
    return {"format": FORMAT, "error": told}


def checks(error: SealroomError | None) -> list[dict[str, Any]] | None:
    """The checks that a refusal of evidence carries, for programs; None for any other error."""
    made = getattr(error, "checks", None)
    return None if made is None else [dataclasses.asdict(check) for check in made]


def check_lines(error: SealroomError | None) -> list[str]:
    """What evidence was refused for, with advice, and then every check that was made; nothing for any other error."""
    from sealroom.attestation import explain  # noqa: PLC0415 (only a refusal of evidence pays for this import)
    from sealroom.attestation.verdict import WithChecks  # noqa: PLC0415

    return [*explain.explain(error), *explain.checks(error)] if isinstance(error, WithChecks) else []


def print_error(message: str, hint: str = "") -> None:
    """`sealroom: error: ...` and, if there is one, `sealroom: hint: ...`."""
    click.echo(f"sealroom: error: {message}", err=True)
    if hint:
        click.echo(f"sealroom: hint: {hint}", err=True)


def _path(value: object) -> Path | None:
    return None if value is None else Path(str(value))
