"""What a case is, and how one is judged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from tests.hostile_host import checks, scene
from tests.hostile_host.checks import Seen
from tests.hostile_host.scene import OWNERS, Scene

Play = Callable[[Scene], None]
ENDED = {"E5.no-receipt", "E5.run-refused"}
"""What recipients are told of a run that ended and released nothing: clear, and the same for every reason."""
SETTLED = {"not answered", "challenged", "settled", "unresolved"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One manipulation of one message.

    Attributes:
        message: what is manipulated, by the name that the specification has for it.
        manipulation: what is done to it, in words.
        phase: where in a run it is done.
        to: whom it is done to.
        play: does it; whatever it installs counts what it changed.
        twin: the same without the manipulation, by the name of a setting; it must release everything.
    """

    message: str
    manipulation: str
    phase: str
    play: Play
    to: str = "partner"
    twin: str = "plain"

    @property
    def is_loose(self) -> bool:
        """Whether chance decides what a turned bit hits: a check, and which, or a field that nobody believes."""
        return self.manipulation.startswith("flipped")

    @property
    def name(self) -> str:
        """The case's id."""
        return "/".join((self.message, self.manipulation.replace(" ", "-"), self.phase, self.to))


def plain(_: Scene) -> None:
    """Nothing special."""


SETTINGS: dict[str, Play] = {"plain": plain}
"""What is prepared before a run is asked for, by name; `twin` of a case names the one that it shares."""


@functools.cache
def releases(twin: str) -> Seen:
    """The unmanipulated run of a setting, played once: it must release everything, and its history prove itself."""
    here = scene.fresh()
    try:
        SETTINGS[twin](here)
        here.ask()
        here.play()
        checks.let_deadlines_pass(here)
        seen = checks.hold(here)
        checks.history_proves_itself(here)
    finally:
        here.close()
    assert seen.ends == "released"
    assert set().union(*seen.codes.values()) == set()
    return seen


def outcome(case: Case) -> tuple[Seen, int]:
    """Play a case: what was seen, and how many messages were changed."""
    here = scene.fresh()
    try:
        SETTINGS[case.twin](here)
        case.play(here)
        checks.let_deadlines_pass(here)
        seen = checks.hold(here)
        return seen, sum(trick.hits for trick in here.tricks) + here.forced
    finally:
        here.close()


def observed(case: Case) -> Seen:
    """Play a case, and hold it against everything that must hold of any.

    Raises:
        AssertionError: something was released wrongly, or a state is not clear.
    """
    releases(case.twin)
    seen, touched = outcome(case)
    assert touched, "the manipulation changed nothing"
    assert set(seen.stands.values()) <= SETTLED
    return seen


def judge(case: Case, ends: str, sees: tuple[str, ...]) -> Seen:
    """The same, and compare with how it must end, and with the codes that parties must see, exactly.

    Of a case that is loose, only what must hold of any is asked.

    Raises:
        AssertionError: something was released wrongly, a state is not clear, or parties saw something else.
    """
    seen = observed(case)
    if case.is_loose:
        return seen
    assert seen.ends == ends, f"{seen.ends}: {words(seen)}"
    found = codes(seen)
    assert all(_is_named(code, sees) for code in found), f"saw {sorted(found)}: {words(seen)}"
    assert all(any(_is_named(code, (wanted,)) for code in found) for wanted in sees), f"saw {sorted(found)}"
    return seen


def codes(seen: Seen) -> set[str]:
    """All that anybody was told."""
    told = {text for text in seen.told.values() if text[:1] == "E"}
    return (set().union(*(seen.codes[owner] for owner in OWNERS)) | told) - ENDED


def words(seen: Seen) -> str:
    """Everything of it on one line."""
    by = {owner: sorted(said) for owner, said in seen.codes.items() if said}
    return f"told {seen.told} codes {by} stands {seen.stands}"


def _is_named(code: str, named: tuple[str, ...]) -> bool:
    return any(code == one or code.split(".", maxsplit=1)[0] == one for one in named)
