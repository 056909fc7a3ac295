"""What every call needs: the store, the doorman, the clock; made once by the app and handed to routes by FastAPI.

Runs in: host.   Believes: nothing.   Spec: §8.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Path, Request

from sealroom.host import disk
from sealroom.host.agreements import Agreement, signed_by
from sealroom.host.auth import Call, Doorman
from sealroom.host.documents import HEX32, NAME, Statement
from sealroom.host.problems import forbidden, unreadable
from sealroom.host.runs import Run
from sealroom.host.settings import Settings
from sealroom.host.store import Store
from sealroom.protocol import wire


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The gateway's own parts."""

    settings: Settings
    store: Store
    doorman: Doorman
    clock: Callable[[], float]

    def member(self, call: Call, agreement: str) -> tuple[Agreement, str]:
        """The newest version and the caller's name in it.

        Raises:
            Problem: 404, for strangers too.
        """
        return self.store.agreements.member(agreement, call.key)

    def require_room(self) -> None:
        """Return while there is room for what may be turned away.

        Raises:
            Problem: 507 `disk-full`.
        """
        disk.require_room(self.settings.home, self.settings.disk_reserve)

    def run(self, call: Call, run: str) -> tuple[Run, str]:
        """A run and the caller's name in its agreement.

        Raises:
            Problem: 404, for strangers too.
        """
        found = self.store.runs.get(run)
        return found, self.member(call, found.agreement)[1]


def own(statement: Statement, agreement: str, party: str, key: str) -> None:
    """Refuse a statement that names another author or agreement than the call does, or that the caller did not sign.

    Raises:
        Problem: 403, or 422 `wrong-agreement`.
    """
    if statement.text("party") != party:
        raise forbidden("a party files only its own statements")
    signed_by(statement, key)
    if statement.text("agreement", HEX32) != agreement:
        raise unreadable("wrong-agreement", "the statement is about another agreement")


async def _context(request: Request) -> Context:  # a plain function would be sent to a thread
    found = request.app.state.context
    assert isinstance(found, Context)  # noqa: S101 (a mistake of ours, not of a caller)
    return found


Here = Annotated[Context, Depends(_context)]


class _Signed:
    """A dependency: the authenticated call, its body at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def __call__(self, request: Request, here: Here) -> Call:
        """Admit the call or raise."""
        return await here.doorman.admit(request, most=self._most)


EmptyCall = Annotated[Call, Depends(_Signed(0))]
SmallCall = Annotated[Call, Depends(_Signed(4096))]
StatementCall = Annotated[Call, Depends(_Signed(wire.STATEMENT_MOST))]
ChunkCall = Annotated[Call, Depends(_Signed(wire.CHUNK + wire.CHUNK_TAG))]

Digest = Annotated[str, Path(pattern=f"^{HEX32}$", description="64 lower-case hex digits")]
Party = Annotated[str, Path(pattern=f"^{NAME}$", description="a party's name in the agreement")]
Number = Annotated[int, Path(ge=0, le=1 << 20, description="a chunk's number, from 0")]
