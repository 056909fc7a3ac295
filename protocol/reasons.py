"""What each closed reason means, and what its reader can do: one table for receipts, mock runs and docs/JOBS.md.

Runs in: parties, and an author's machine.   Believes: nothing.   Spec: §7.6.

A receipt holds a code and nothing beside it; these words are the reader's own. The gate does not import this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """What a code means, and what to do about it."""

    meaning: str
    change: str


_HOST = (
    "Nothing of yours was wrong: the host sent what the gate does not take. Ask its operator, and ask for a new run."
)
_OURS = "A defect of ours, or of this installation: report the code and the agreement's shape."
_SEAL_AGAIN = "The owner of the data seals it again with `sealroom seal`, which names every row that does not fit."
_PACK_AGAIN = "The owner of the query bundle packs and seals it again with `sealroom seal`."
_ASK_AGAIN = "Ask for a new run with `sealroom run`, with one version of the client."
_UPDATE = "Bring all parties to one release of Sealroom, then ask for a new run."
_NO_RETRY = "Do not ask again before you know why: compare the operator's gateway with the receipt's digests."

_RULE: Final = {
    "no-stability-proof": ("No bound is proven for how much one person can move a count that is linked in this way.",
        "Agree on a version whose links use a scheme that the image knows."),
    "bad-rule": ("The rule cannot be computed as agreed: a table is missing, or epsilon or padded size do not suffice.",
        "Nothing in the bundle; the agreement's rule has to change."),
    "bad-query": ("The query bundle is missing, not as its format says, or names what it may not see.",
        "Try it with `sealroom mock`, which names the first condition that is wrong."),
    "undeclared-label": ("The query names a label that the agreement does not declare.",
        "Use declared labels only, or have the agreement declare this one."),
    "no-columns": ("No column is left that code may see.",
        "The agreement must declare a column that is no identifier."),
    "too-few": ("There are too few positive or negative people to measure anything.",
        "Nothing in the code; bring more rows, or leave the rule out of the request."),
    "seed-too-small": ("Fewer people with the positive outcome were linked than the agreement demands (`least_seed`).",
        "Bring more rows, or agree on a lower `least_seed`."),
    "below-floor": ("The audience would hold fewer ids than the agreement's floor.",
        "Bring more rows, or agree on a lower `floor` or a larger `percent`."),
    "job-error": ("The function raised an exception, or ended its own process.",
        "Run the job on made-up rows with `sealroom mock`, which shows the full traceback."),
    "job-import-error": ("The entry function could not be loaded.",
        "Compare `entry` in bundle.json with your files, and your imports with the packages that a job finds."),
    "job-bad-output": (
        "What came back is not what was asked for: length, type, range, duplicates or a number that is not finite.",
        "Return exactly `ask.size` distinct row positions, or one finite number per row."),
    "job-out-of-memory": ("The job wanted more memory than the agreement's limit.",
        "Work in blocks, use narrower types, or agree on a higher limit."),
    "job-out-of-time": ("The job used up its processor time or its wall-clock time.",
        "Fit on a sample, use a cheaper model, or agree on a higher limit."),
    "job-killed": ("The job was stopped: a forbidden system call, too many threads, or a crash in native code.",
        "Leave out sockets, subprocesses, tracing and raw system calls; test native code with `sealroom mock`."),
    "engine-error": ("The engine failed.", _OURS),
    "too-large": ("The release does not fit the size that every release of this rule is padded to.",
        "Agree on fewer labels, values or ids for this rule."),
    "other": ("The engine gave a reason that is no reason.", _OURS),
}  # fmt: skip

_LOADING: Final = {
    "E5.reader-error": ("A file does not have the declared columns, has a value outside them, or has too many rows.",
        _SEAL_AGAIN),
    "E5.reader-import-error": ("The reader could not be started.", _OURS),
    "E5.reader-bad-output": ("A file grows more than sixteenfold when it is unpacked.",
        "Its owner seals it as CSV, or with less compression."),
    "E5.reader-out-of-memory": ("Reading a file took more memory than the agreement's limit.",
        "Agree on a higher `limits.memory`, or its owner brings fewer rows."),
    "E5.reader-out-of-time": ("Reading a file took more time than the agreement's limits.",
        "Agree on higher `limits.processor_time` and `limits.wall_time`, or its owner brings fewer rows."),
    "E5.reader-killed": ("The reader did something forbidden, as a file made to attack it would have it do.",
        "Ask the owner of the data how the file was made."),
    "E5.reader-other": ("The reader ended in a way that is no outcome.", _OURS),
    "E5.load-bad-message": ("The engine did not understand the gate.", _OURS),
    "E5.load-bad-table": ("What a reader made of a file is no valid table of the declared columns.", _SEAL_AGAIN),
    "E5.load-duplicate-entity": ("An id is missing, empty, or there twice: each row must be another person.",
        "The owner of the data leaves one row for each id, and seals it again."),
    "E5.load-too-many-rows": ("A file has more rows than the agreement allows (`most_rows`).",
        "Its owner brings fewer rows, or all agree on more."),
    "E5.load-other": ("The engine refused a table for a reason that is no reason.", _OURS),
    "E5.bundle-lane": ("A bundle of the query lane holds code of another lane.", _PACK_AGAIN),
}  # fmt: skip

_RUN: Final = {
    "failed": ("A process of the enclave ended before its time, or the gate met what it does not know.",
        "Ask for a new run; if it happens again, give the agreement more memory, or report it."),
    "E3.stopped": ("The run was stopped from outside: by a party's `sealroom stop`, or by the operator.",
        "Ask the other parties and the operator."),
    "E3.expired": ("The gate heard nothing from the host for too long: grants or ciphertext did not come.",
        "See that every owner's `sealroom broker --watch` is running, then ask for a new run."),
    "E3.missing-layer": ("A layer of confinement that the image requires was not in force, so that nothing was read.",
        "The operator looks at `sealroom doctor` on its machine: Landlock and seccomp must be there."),
    "E3.child-not-ready": ("The engine or the jail did not start as it must.",
        "The operator looks at memory and `sealroom doctor` on its machine."),
    "E3.grant-object E3.grant-context": ("A grant was for another object, owner, run or evidence.", _NO_RETRY),
    "E3.second-grant": ("An object was granted twice.", _NO_RETRY),
    "E3.unknown-object": ("The host handed over an object that is not of this run, or one twice.", _HOST),
    "E4.cannot-open": ("A key or an object does not open: it was altered, or sealed for something else.", _NO_RETRY),
    "E2.signature E2.stranger E2.too-few-signatures E2.different-payload E2.wrong-type E2.broken-chain":
        ("A signature or a chain of versions does not hold.", _NO_RETRY),
    "E3.requester E3.other-agreement E3.unknown-rule E3.objects E3.columns E3.manifests E3.manifest-context "
    "E3.manifest-media E3.nonce E1.repeated-rule E1.bad-chain":
        ("The request is not one that the agreement allows.", _ASK_AGAIN),
    "E1.bad-header E1.bad-name E1.bad-padding E1.no-entry E1.no-manifest E1.not-regular E1.out-of-order "
    "E1.too-many-files E1.trailing-bytes": ("A query bundle is not one that `sealroom pack` makes.", _PACK_AGAIN),
    "E1.engine": ("The engine broke its protocol with the gate.", _OURS),
    "E1.not-memory E1.not-sealed": ("A process of the enclave handed over memory that it could still change.", _OURS),
    "E1.untimely E1.wrong-fields E1.wrong-descriptors E1.misplaced-fds E1.too-many-fds E1.not-object":
        ("The gate was sent a message at the wrong time or of the wrong shape.", _HOST),
    "E1.bad-key E1.bad-length E1.bad-sizes E1.bad-text E1.cut-short E1.duplicate-key E1.duplicate-signature E1.float "
    "E1.inconsistent E1.missing-field E1.not-allowed E1.not-base64 E1.not-canonical E1.not-json E1.no-fmc "
    "E1.out-of-range E1.repeated E1.too-deep E1.too-large E1.unknown-field E1.unknown-type E1.wrong-type":
        ("A statement, a bundle or a message is not in the form that it claims.", _UPDATE),
}  # fmt: skip


def _spread(rows: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Advice]]:
    for codes, (meaning, change) in rows.items():
        for code in codes.split():
            yield code, Advice(meaning, change)


GROUPS: Final[Mapping[str, Mapping[str, Advice]]] = {
    "rule": dict(_spread(_RULE)),
    "data": dict(_spread(_LOADING)),
    "run": dict(_spread(_RUN)),
}
"""Reasons why one rule was withheld; why data ended a whole run; what else ended one (both stand under `*`)."""

ADVICE: Final[Mapping[str, Advice]] = {code: advice for group in GROUPS.values() for code, advice in group.items()}

UNKNOWN: Final = Advice(
    "This client does not know the code.", "Compare its version with the image's; the code is text of the gate's alone."
)


def advice(code: str) -> Advice:
    """What `code` means; a code that is not in the table is said to be unknown."""
    return ADVICE.get(code, UNKNOWN)
