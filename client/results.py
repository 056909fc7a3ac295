"""Opened releases as files: written once, whole, never over something else.

Runs in: a recipient.   Believes: a text that its own key opened.   Spec: §7.5.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from sealroom.client import files
from sealroom.protocol import canonical
from sealroom.protocol.errors import Malformed, NotAcceptable
from sealroom.protocol.release import MOST_TEXT


def write(folder: Path, rule: str, text: bytes) -> Path:
    """Keep a release as RULE.json or RULE.csv; writing the same again changes nothing.

    Raises:
        Malformed: the text is in neither form.
        NotAcceptable: another text lies there under this name.
    """
    path = folder / f"{rule}.{form(text)}"
    if path.exists():
        if files.read(path, most=MOST_TEXT) != text:
            raise NotAcceptable("other-result", f"{path} holds another result of this run",
                                hint="keep it: a run has one result for each rule")  # fmt: skip
        return path
    files.write(path, text)
    return path


def form(text: bytes) -> str:
    """`json` or `csv`, if it is one of them in the one canonical spelling.

    Raises:
        Malformed: it is neither.
    """
    if text.startswith((b"{", b"[")):
        canonical.decode(text, most=MOST_TEXT)
        return "json"
    try:
        plain = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("not-canonical", "the release is neither canonical JSON nor CSV") from error
    if not plain.endswith("\n") or plain.startswith("\n") or any(c < " " and c not in "\r\n\t" for c in plain):
        raise Malformed("not-canonical", "the release is neither canonical JSON nor CSV")
    return "csv"


def read(path: Path) -> Any:
    """A kept release: the JSON value, or the CSV's rows after its header."""
    text = files.read(path, most=MOST_TEXT)
    if form(text) == "json":
        return json.loads(text)
    return list(csv.reader(io.StringIO(text.decode(), newline="")))[1:]
