"""The `sealroom` command, except that it kills itself as a plan says: `python -m tests.crash.party PREFIX WORD...`.

Points are the commits of the ledger, the calls that change something at the gateway, and files that get their name.
"""

from __future__ import annotations

import contextlib
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sealroom.client import __main__ as program
from sealroom.client.commands import broker as command
from sealroom.client.gateway import Gateway
from sealroom.client.ledger import Ledger
from tests.crash.fuse import Fuse


def around(owner: Any, method: str, name: Callable[..., str], fuse: Fuse) -> None:
    """Put a point before and one after a method."""
    inner = getattr(owner, method)

    def outer(self: Any, *arguments: Any, **named: Any) -> Any:
        point = name(self, *arguments)
        fuse.point(f"before {point}")
        result = inner(self, *arguments, **named)
        fuse.point(f"after {point}")
        return result

    setattr(owner, method, outer)


def around_commits(fuse: Fuse) -> None:
    """Put a point right before and right after each commit of the ledger, named for what is committed."""
    inner, doing = Ledger._transaction, ["opening"]

    @contextlib.contextmanager
    def transaction(self: Ledger) -> Iterator[None]:
        with inner(self):
            yield
            fuse.point(f"before commit {doing[-1]}")
        fuse.point(f"after commit {doing[-1]}")

    def named(method: str, name: Callable[..., str]) -> None:
        original = getattr(Ledger, method)

        def outer(self: Ledger, *arguments: Any, **rest: Any) -> Any:
            doing.append(name(*arguments))
            try:
                return original(self, *arguments, **rest)
            finally:
                doing.pop()

        setattr(Ledger, method, outer)

    named("append", lambda draft: f"{draft.kind} {draft.once}")
    named("keep_all", lambda bodies: f"keep {min(bodies)}")
    named("_note_time", lambda _: "clock")
    named("mark_sent", lambda name: f"sent {name}")
    Ledger._transaction = transaction  # type: ignore[method-assign]


def main() -> None:
    """Run the command with its points."""
    fuse = Fuse(Path(sys.argv[1]))
    around_commits(fuse)
    for method in ("put_challenge", "put_grant", "put_consent", "put_cosignature"):
        around(Gateway, method, lambda _, run, which, *__, m=method: f"{m} {run} {which}", fuse)
    around(Path, "rename", lambda _, target: f"rename to {Path(target).name}", fuse)
    ahead = float(fuse.plan.get("ahead", 0))
    command.time = types.SimpleNamespace(time=lambda: time.time() + ahead, sleep=time.sleep)  # type: ignore[assignment]
    sys.argv[:] = ["sealroom", *sys.argv[2:]]
    program.main()


if __name__ == "__main__":
    main()
