"""An owner's half of a spec as a file of its own, so that whoever drafts need not see the data to declare its columns.

Runs in: a party.   Believes: nothing.   Spec: §10.2.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

from sealroom.client import columns, files, spec
from sealroom.client.spec_fields import DatasetSpec, Spec
from sealroom.protocol import schema
from sealroom.protocol.errors import Malformed

FORMAT: Final = "sealroom/columns/v1"


def from_csv(path: Path, name: str, owner: str) -> DatasetSpec:
    """The declaration of a whole CSV file.

    Raises:
        Malformed: it is not CSV, or a name or value in it cannot be declared.
    """
    found = columns.propose(path)
    value: dict[str, Any] = {
        "owner": owner, "id": found.id, "most_rows": found.most_rows, "identifiers": dict(found.identifiers),
        "features": {c: t if isinstance(t, str) else list(t) for c, t in found.features.items()},
    }  # fmt: skip
    return spec.parse({"datasets": {name: value}}).datasets[name]


def from_spec(described: Spec, name: str, path: Path) -> DatasetSpec:
    """The declaration of those columns that a spec names, its holes filled from the file.

    Raises:
        UsageError: the spec has no such dataset.
        Malformed: as `spec.infer`.
    """
    return spec.infer(described, name, path).datasets[name]


def document(name: str, dataset: DatasetSpec) -> dict[str, Any]:
    """The fragment as JSON."""
    return {"format": FORMAT, "dataset": name, **schema.encode(dataset)}


def save(path: Path, name: str, dataset: DatasetSpec) -> None:
    """Write the fragment as readable JSON; it is meant to be sent on."""
    files.write(path, (json.dumps(document(name, dataset), indent=2) + "\n").encode(), overwrite=True, mode=0o644)


def merge(into: Spec, path: Path) -> Spec:
    """The spec with the fragment's dataset in place of its own.

    Raises:
        Malformed: not a fragment.
    """
    try:
        value = json.loads(files.read(path, most=spec.MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", f"{path} is not JSON") from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise Malformed("wrong-type", f"{path} is not a file of columns", hint="make one: `sealroom columns FILE.csv`")
    name = value.pop("dataset", None)
    if not isinstance(name, str):
        raise Malformed("missing-field", f"{path} does not name its dataset")
    declared = spec.parse({"datasets": {name: value}}).datasets[name]
    return spec.with_dataset(into, name, dataclasses.replace(declared, file=None))
