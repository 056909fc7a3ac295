"""What the documents say is there, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import documents

CLAIM = re.compile(r"\| \*\*(C\d\d)\*\* .*? \| `([^`]+)` \| `([^`:]+)::([^`]+)` \|")
LINK = re.compile(r"\]\(([^)#:]+)\)")
PATH = re.compile(r"`((?:protocol|attestation|enclave|host|client|jobs|deploy|tests)/[A-Za-z0-9_./-]+\.[a-z]+)`")


def pages(root: Path) -> list[Path]:
    return [*root.glob("*.md"), *(root / "docs").rglob("*.md")]


def claims(root: Path) -> list[tuple[str, str, str, str]]:
    return CLAIM.findall((root / "docs" / "CLAIMS.md").read_text("utf-8"))


def test_no_generated_page_is_stale():
    assert documents.stale() == []


def test_claims_are_numbered_without_gaps(root: Path):
    assert [c[0] for c in claims(root)] == [f"C{n:02}" for n in range(1, len(claims(root)) + 1)]
    assert len(claims(root)) == (root / "docs" / "CLAIMS.md").read_text("utf-8").count("| **C")


def test_every_claim_names_a_file_and_a_test_that_are_there(root: Path):
    missing = []
    for number, file, test_file, test in claims(root):
        tree = ast.parse((root / test_file).read_text("utf-8")) if (root / test_file).is_file() else ast.Module([], [])
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if not (root / file).is_file() or test not in names:
            missing.append((number, file, f"{test_file}::{test}"))
    assert missing == []


def test_links_and_paths_in_documents_lead_somewhere(root: Path):
    lost = []
    for page in pages(root):
        text = page.read_text("utf-8")
        lost += [(page.name, link) for link in LINK.findall(text) if not (page.parent / link).exists()]
        lost += [(page.name, path) for path in PATH.findall(text) if "<" not in path and not (root / path).exists()]
    assert lost == []


@pytest.mark.parametrize("page", ["README.md", "docs/LIMITATIONS.md", "docs/DEMO.md"])
def test_the_simulated_platform_is_named_for_what_it_is(root: Path, page: str):
    words = " ".join((root / page).read_text("utf-8").split())
    assert "simulated" in words
    assert "operator" in words
