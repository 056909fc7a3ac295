"""How a jail can end, and all that its ending may say.

Runs in: gate, zygote, jail, parties.   Believes: nothing.   Spec: §9.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Outcome = Literal["ok", "error", "import-error", "bad-output", "out-of-memory", "out-of-time", "killed"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

ADVICE: Final[dict[Outcome, tuple[str, str]]] = {
    "ok": ("The jail wrote what it was asked for.", "Nothing."),
    "error": (
        "Your function raised, or an owner's file does not have the declared columns.",
        "Run the job against made-up rows with the mock run, which shows the full traceback.",
    ),
    "import-error": (
        "The entry function could not be loaded.",
        "Compare `entry` in bundle.json with your files, and your imports with the packages listed below.",
    ),
    "bad-output": (
        "What came back is not what was asked for: length, type, range, duplicates or a number that is not finite.",
        "Return exactly `ask.size` distinct row positions, or one finite number per row.",
    ),
    "out-of-memory": (
        "The job wanted more memory than the agreement's limit.",
        "Work in blocks, use narrower types, or agree on a higher limit.",
    ),
    "out-of-time": (
        "The job used up its processor time or its wall-clock time.",
        "Fit on a sample, use a cheaper model, or agree on a higher limit.",
    ),
    "killed": (
        "The job was stopped: a forbidden system call, too many threads, or a crash in native code.",
        "Leave out sockets, subprocesses, tracing and raw system calls; test native code with the mock run.",
    ),
}
"""Per outcome: what happened, and what to do. Written for the author of a bundle."""

EXIT: Final[dict[Outcome, int]] = {"ok": 0, "error": 10, "import-error": 11, "bad-output": 12, "out-of-memory": 13}
"""Exit status by which the jail's own code says how it ended; every other status means `error`."""

_BY_EXIT: Final[dict[int, Outcome]] = {status: outcome for outcome, status in EXIT.items()}


def of_exit(status: int) -> Outcome:
    """The outcome of an exit status: a closed set, whatever the job exits with."""
    return _BY_EXIT.get(status, "error")
