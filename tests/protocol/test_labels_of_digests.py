"""Labelled digests: no two inputs share a pre-image, and every label in the code is in the specification."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from sealroom.protocol import digest

SCHEMES = {"waterfall/v1", "identify/v1", "holdout/v1", "view-order/v1", "blocks/v1", "attestation-vectors/v1"}
"""Names of the same form that go into no labelled digest."""
ZONES = ("protocol", "attestation", "enclave", "host", "client")
LABEL = re.compile(r"""["']([a-z][a-z-]*/v[0-9]+)(?: [a-z{][^"']*)?["']""")


def test_a_preimage_is_exactly_this():
    expected = b"sealroom\0x/v1\0" + b"\0\0\0\0\0\0\0\1" + b"a" + b"\0" * 8 + b"\0\0\0\0\0\0\0\2" + b"bc"
    assert digest.preimage("x/v1", b"a", b"", b"bc") == expected
    assert digest.sha256("x/v1", b"a", b"", b"bc") == hashlib.sha256(expected).hexdigest()
    assert digest.sha384("x/v1", b"a", b"", b"bc") == hashlib.sha384(expected).hexdigest()
    assert digest.sha512("x/v1", b"a", b"", b"bc") == hashlib.sha512(expected).hexdigest()


def test_moving_a_byte_between_parts_or_label_changes_the_preimage():
    variants = [("x/v1", b"ab", b"c"), ("x/v1", b"a", b"bc"), ("x/v1", b"abc"), ("x/v1", b"abc", b""), ("x/v", b"1abc")]
    assert len({digest.preimage(label, *parts) for label, *parts in variants}) == len(variants)


@pytest.mark.parametrize("label", ["", "a\0b", "é"])
def test_a_label_is_plain(label: str):
    with pytest.raises(ValueError, match="label"):
        digest.preimage(label)


def test_comparing_says_equal_and_different():
    assert digest.equal("ab", "ab")
    assert not digest.equal("ab", "ac")
    assert not digest.equal("ab", "abab")


def labels_in_code(root: Path) -> set[str]:
    files = [path for zone in ZONES for path in (root / zone).rglob("*.py") if "__pycache__" not in path.parts]
    return {label for path in files for label in LABEL.findall(path.read_text("utf-8"))} - SCHEMES


def labels_in_specification(root: Path) -> list[str]:
    text = (root / "docs" / "SPEC.md").read_text("utf-8")
    table = text.split("### 2.2")[1].split("### 2.3")[0]
    return re.findall(r"^\| `([a-z-]+/v[0-9]+)` \|", table, re.MULTILINE)


def test_the_specification_lists_every_label_once_and_no_other(root: Path):
    listed = labels_in_specification(root)
    assert len(set(listed)) == len(listed)
    assert labels_in_code(root) == set(listed)


def test_sections_that_modules_name_exist(root: Path):
    text = (root / "docs" / "SPEC.md").read_text("utf-8")
    sections = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", text, re.MULTILINE))
    files = [path for zone in ZONES for path in (root / zone).rglob("*.py") if "__pycache__" not in path.parts]
    named = {
        (str(path.relative_to(root)), section)
        for path in files
        for line in path.read_text("utf-8").splitlines()
        if "Spec:" in line or "SPEC" in line
        for section in re.findall(r"§(\d+(?:\.\d+)?)", line.split("Spec:")[-1])
    }
    assert {(name, section) for name, section in named if section not in sections} == set()
