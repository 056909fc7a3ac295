"""Runs every case of a folder of attestation vectors against the verifier that parties use.

Runs in: a developer's machine.   Believes: MANIFEST.json of that folder.   Spec: §6.

    python -m sealroom.attestation.vectors FOLDER

The manifest (schema `attestation-vectors/1`) says per case what a verifier must conclude: whether the cryptography
holds, at which stage it must fail, what a default and a strict policy must say, and what the decoded fields are.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sealroom.attestation import vectors_snp
from sealroom.attestation.vectors_case import Case, MismatchError
from sealroom.protocol.errors import SealroomError

SCHEMA = "attestation-vectors/1"
MOST_BYTES = 1 << 26
VERIFIERS: Mapping[str, Callable[[Case], None]] = {"sev-snp": vectors_snp.run}
"""What runs a case of each platform that this project can verify."""


def run(folder: Path, say: Callable[[str], None]) -> int:
    """Run all cases, `say` a line per failed case and per skipped platform and the totals; the number that failed.

    Raises:
        MismatchError: the manifest is missing, too large or of another schema.
    """
    documents = _manifest(folder)
    by_name = {str(document.get("id")): document for document in documents}
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for document in documents:
        platform = document.get("platform")
        if isinstance(platform, str) and platform not in VERIFIERS:
            skipped[platform] += 1
            continue
        failure = _failure(Case(folder, document, by_name))
        counts["failed" if failure else "passed"] += 1
        if failure:
            say(f"{document.get('id')}: {failure}")
    for platform, number in sorted(skipped.items()):
        say(f"skipped {number} of platform {platform}: there is no verifier for it yet")
    tail = f", {skipped.total()} skipped" if skipped else ""
    say(f"{counts['passed']} passed, {counts['failed']} failed{tail}")
    return counts["failed"]


def main(arguments: list[str]) -> int:
    """The command; 0 if all cases pass, 1 if one does not, 2 if there is nothing to run."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m sealroom.attestation.vectors FOLDER\n")
        return 2
    try:
        failed = run(Path(arguments[0]), _say)
    except MismatchError as error:
        sys.stderr.write(f"vectors: error: {error}\n")
        return 2
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _failure(case: Case) -> str | None:
    try:
        VERIFIERS[case.document["platform"]](case)
    except (MismatchError, SealroomError, KeyError, TypeError, ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _manifest(folder: Path) -> list[dict[str, Any]]:
    path = folder / "MANIFEST.json"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise MismatchError(f"{path} is larger than {MOST_BYTES} bytes")
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise MismatchError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise MismatchError(f"{path} does not have the schema {SCHEMA}")
    cases = manifest.get("cases")
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise MismatchError(f"{path} has no list of cases")
    return cases


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
