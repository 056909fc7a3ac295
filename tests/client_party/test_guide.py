"""The guide is kept true: its commands parse, its spec works, and it needs no more commands than it promises."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from sealroom.client import cli, spec, templates
from sealroom.protocol.platform import simulated_policy
from tests.client_party.playing import NOW, Players

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(root: Path, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall((root / "docs" / "GUIDE.md").read_text("utf-8")) if found == kind]


def commands(root: Path) -> list[list[str]]:
    joined = "\n".join(blocks(root, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ").removesuffix(" &") for line in joined.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("sealroom ")]


def parse(words: list[str]) -> None:
    """Read a command line without running it; click raises on an unknown option or a missing argument."""
    group: click.Command = cli.cli
    while isinstance(group, click.Group):
        found = group.get_command(click.Context(group), words[0])
        assert found is not None, words[0]
        group, words = found, words[1:]
    group.make_context("sealroom", words)


def test_every_command_of_the_guide_parses(root: Path) -> None:
    found = commands(root)
    assert len(found) >= 12
    for words in found:
        parse(words)
    with pytest.raises(click.UsageError):
        parse(["seal", "--nonsense"])


def test_bank_and_partner_need_few_commands(root: Path) -> None:
    text = (root / "docs" / "GUIDE.md").read_text("utf-8")
    counts = {}
    for title, most in (("The bank", 7), ("The partner", 5)):
        section = text.split(f"## {title}\n")[1].split("\n## ")[0]
        counts[title] = sum(block.count("$ sealroom ") for _, block in BLOCK.findall(section))
        assert counts[title] <= most
    assert counts == {"The bank": 6, "The partner": 5}


def test_the_spec_of_the_guide_makes_an_agreement(root: Path, players: Players, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(blocks(root, "toml")[0], "utf-8")
    csv = tmp_path / "bank.csv"
    csv.write_text(
        "bank_id,email,phone,first_name,last_name,balance,housing,y,loan\nB1,a@b.c,1,A,B,1,yes,no,2.5\nB2,b@b.c,2,A,C,1,no,yes,1\n"
    )
    described = spec.infer(spec.load(tmp_path / "spec.toml"), "bank_customers", csv)
    assert described.datasets["bank_customers"].features["loan"] == "float"
    other = spec.parse(
        {"datasets": {"people": {"owner": "partner", "id": "i", "most_rows": 9, "identifiers": {"mail": "email"}}}}
    )
    both = spec.with_dataset(described, "people", other.datasets["people"])
    cards = [players.home(name).card() for name in ("bank", "partner", "operator")]
    platforms = [simulated_policy("ab" * 32)]
    draft = templates.draft("lookalike", both, cards=cards, operator="operator", platforms=platforms, now=NOW)
    assert [rule.name for rule in draft.rules] == ["overlap", "quality", "audience"]
