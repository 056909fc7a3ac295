"""One case of a folder of attestation vectors: its files, its clock, what is expected.

Runs in: a developer's machine.   Believes: MANIFEST.json of that folder.   Spec: §6.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 22


class MismatchError(Exception):
    """The verifier concludes something else than the case says it must."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A case of the manifest in `folder`; `others` are all its cases by id, for those that refer to one another."""

    folder: Path
    document: Mapping[str, Any]
    others: Mapping[str, Mapping[str, Any]]

    @property
    def expect(self) -> Mapping[str, Any]:
        """What a verifier must conclude."""
        expect = self.document["expect"]
        if not isinstance(expect, dict):
            raise MismatchError("the case has no expectation")
        return expect

    @property
    def now(self) -> int:
        """The clock that the verifier is given, in seconds since 1970."""
        return int(dt.datetime.fromisoformat(str(self.document["verify_at"])).timestamp())

    def file(self, role: str) -> bytes | None:
        """The file that the case names for `role`, or None if it names none."""
        name = self.document["files"].get(role)
        return None if name is None else self.read(str(name))

    def anchor(self) -> bytes | None:
        """The trust anchor that the case names, or None for the vendor's pinned roots."""
        name = self.document.get("trust_anchor")
        return None if name is None else self.read(str(name))

    def base(self) -> Case | None:
        """The case that this one was derived from."""
        name = self.document.get("derived_from")
        other = self.others.get(str(name)) if name is not None else None
        return None if other is None else Case(self.folder, other, self.others)

    def host_data_preimage(self) -> bytes | None:
        """The bytes behind HOST_DATA, where the case says in the words `FILE (base64-decode, sha256)` how to get them.

        What else `extra` may say is for verifiers of other things than a report, and is passed over.
        """
        name, _, how = str(self.expect.get("extra", {}).get("host_data_preimage", "")).partition(" ")
        return base64.b64decode(self.read(name)) if how == "(base64-decode, sha256)" else None

    def read(self, name: str) -> bytes:
        """A file of the folder, at most 4 MiB long.

        Raises:
            MismatchError: the name leaves the folder, or the file is too long.
        """
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise MismatchError(f"{name} is not inside the folder")
        with (self.folder / path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise MismatchError(f"{name} is longer than {MOST_BYTES} bytes")
        return data
