"""How a jail can end, and all that its ending may say; `protocol/reasons.py` has the words for it.

Runs in: gate, zygote, jail, parties.   Believes: nothing.   Spec: §9.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Outcome = Literal["ok", "error", "import-error", "bad-output", "out-of-memory", "out-of-time", "killed"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

EXIT: Final[dict[Outcome, int]] = {"ok": 0, "error": 10, "import-error": 11, "bad-output": 12, "out-of-memory": 13}
"""Exit status by which the jail's own code says how it ended; every other status means `error`."""

_BY_EXIT: Final[dict[int, Outcome]] = {status: outcome for outcome, status in EXIT.items()}


def of_exit(status: int) -> Outcome:
    """The outcome of an exit status: a closed set, whatever the job exits with."""
    return _BY_EXIT.get(status, "error")
