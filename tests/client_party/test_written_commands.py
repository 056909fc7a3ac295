"""Every `sealroom` command that a page or a hint of ours writes is one: its name is there, and so is each option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sealroom.client import cli
from tests.client_party.test_guide import parse

INLINE = re.compile(r"`(sealroom [^`\n]+)`")
TYPED = re.compile(r"^\s*\$ (sealroom .*)$", re.MULTILINE)
MEANT = re.compile(r"[.…]+$|[\[\]]")
"""What writing adds to a command: an ellipsis at its end, brackets around what may be left out."""


def pages(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "deploy").glob("*.md")])


def sources(root: Path) -> list[Path]:
    return sorted((root / "client").rglob("*.py"))


def typed(text: str) -> Iterator[list[str]]:
    """Whole command lines, as in a console."""
    for line in TYPED.findall(text.replace("\\\n", " ")):
        yield shlex.split(line.strip().removesuffix(" &"))[1:]


def mentioned(text: str) -> Iterator[list[str]]:
    """Commands in running text, which may leave arguments out."""
    for line in INLINE.findall(text):
        if "{" not in line.split()[1]:
            yield MEANT.sub("", line.split("' if ")[0]).split()[1:]


def require(words: list[str]) -> None:
    """Fail unless the words name a command and options of its; arguments may be missing."""
    group: click.Command = cli.cli
    left = list(words)
    while isinstance(group, click.Group) and left and not left[0].startswith("-"):
        found = group.get_command(click.Context(group), left[0])
        assert found is not None, f"there is no command `sealroom {' '.join(words)}`"
        group, left = found, left[1:]
    known = {name for item in group.params for name in (*item.opts, *item.secondary_opts)} | {"--help", "--version"}
    for word in left:
        if word.startswith("-"):
            assert word.partition("=")[0].rstrip("`.,;:") in known, f"no {word} in `sealroom {' '.join(words)}`"


def test_every_command_line_of_every_page_parses(root: Path) -> None:
    found = [(page.name, words) for page in pages(root) for words in typed(page.read_text("utf-8"))]
    assert {name for name, _ in found} >= {"GUIDE.md", "JOBS.md"}
    for _, words in found:
        parse(words)


def test_every_command_that_a_page_mentions_is_there(root: Path) -> None:
    found = [(page.name, words) for page in pages(root) for words in mentioned(page.read_text("utf-8"))]
    assert {name for name, _ in found} >= {"GUIDE.md", "JOBS.md", "VERIFYING.md", "LIMITATIONS.md"}
    for _, words in found:
        require(words)


def test_every_command_that_a_hint_mentions_is_there(root: Path) -> None:
    found = [words for path in sources(root) for words in mentioned(path.read_text("utf-8"))]
    assert len(found) > 20
    for words in found:
        require(words)


@pytest.mark.parametrize("wrong", ["measure --explain", "nothing", "agreement shown", "receipt verify --chekcs"])
def test_what_is_not_there_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        require(wrong.split())
