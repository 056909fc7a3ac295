"""How commands end when something is odd: one line of words, one JSON object, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from sealroom.attestation.verdict import Check, EvidenceNotAcceptable
from sealroom.client import __main__ as program
from sealroom.client import cli, errors, ui
from tests.client_party.playing import Players

Run = Callable[..., tuple[int, str, str]]
SECRET = "a name from somebody's data"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "run", fail)


def test_what_nobody_expects_is_one_line_without_its_text(sealroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError(SECRET))
    code, out, err = sealroom("next", "--json")
    assert code == errors.FAILED
    assert json.loads(out)["error"]["code"] == "Defect"
    assert err.startswith("sealroom: error: unexpected ZeroDivisionError at test_manners.py:")
    assert SECRET not in out + err
    monkeypatch.setenv(program.TRACEBACK, "1")
    assert SECRET in sealroom("next")[2]


@pytest.mark.parametrize("json_wanted", [True, False])
def test_an_interrupted_command_says_so_in_its_own_form(
    sealroom: Run, monkeypatch: pytest.MonkeyPatch, json_wanted: bool
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    code, out, err = sealroom("broker", *(["--json"] if json_wanted else []))
    assert (code, err) == (errors.INTERRUPTED, "sealroom: error: interrupted\n")
    assert (json.loads(out)["error"]["code"] if json_wanted else out) == ("Interrupted" if json_wanted else "")


@pytest.mark.parametrize(
    "words",
    [
        "--json agreement show", "agreement --json show", "agreement show --json", "--json inbox", "inbox --json",
        "inbox --json list", "--json inbox list --all", "inbox --all --json",
    ],
)  # fmt: skip
def test_json_may_be_asked_for_at_any_place(agreed: Players, sealroom: Run, words: str) -> None:
    code, out, _ = sealroom(*words.split(), "--home", agreed.root / "bank")
    assert code == 0
    assert json.loads(out)["format"] == ui.FORMAT


@pytest.mark.parametrize(
    "words", ["--json --home HOME inbox", "--home HOME next --json", "agreement --home HOME --json show"]
)
def test_a_home_may_be_named_before_the_command(agreed: Players, sealroom: Run, words: str) -> None:
    code, out, _ = sealroom(*words.replace("HOME", str(agreed.root / "bank")).split())
    assert code == 0
    assert json.loads(out)["format"] == ui.FORMAT


def every(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """A command and all below it, by their words."""
    found = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            below = command.get_command(context, sub)
            assert below is not None
            found += every(below, f"{name} {sub}".strip())
    return found


def test_every_command_and_group_answers_in_json() -> None:
    commands = every(cli.cli, "")
    assert len(commands) > 30
    lacking = [name for name, command in commands if not any("--json" in item.opts for item in command.params)]
    assert lacking == []


def test_early_options_stay_out_of_the_help(sealroom: Run) -> None:
    assert "--home" not in sealroom("--help")[1]


def test_a_refusal_of_evidence_is_told_with_every_check(sealroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Check("debugging", "off", "off", "pass", "debug-allowed", "report")
    bad = Check("measurement", "00", "one of 1 approved", "fail", "measurement", "report")
    failing(monkeypatch, EvidenceNotAcceptable("measurement", "it is another program", checks=(good, bad)))
    code, out, err = sealroom("broker", "--json")
    assert code == errors.ATTESTATION
    told = json.loads(out)["error"]
    assert [(check["name"], check["outcome"]) for check in told["checks"]] == [
        ("debugging", "pass"),
        ("measurement", "fail"),
    ]
    lines = err.splitlines()
    assert lines[0] == "sealroom: error: it is another program [E3.measurement]"
    assert (
        "    another program was launched than any that was approved; measure the image, then approve it or not"
        in lines
    )
    assert "ok     debugging: off; expected: off" in lines
    assert "FAILED measurement: 00; expected: one of 1 approved" in lines


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"id": "x"}', '{"id": "x", "archive": "gone.tar"}', None])
def test_a_description_of_a_container_image_that_is_none_is_told(
    sealroom: Run, tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealroom.client.doctor.lacking", lambda **_: [])
    monkeypatch.setattr("sealroom.client.demo.play.play", lambda *_, **__: pytest.fail("nothing may start"))
    described = tmp_path / "container.json"
    if text is not None:
        described.write_text(text, "utf-8")
    code, out, err = sealroom("demo", "--image", tmp_path, "--container", described, "--json")
    assert code == errors.USAGE
    assert "make image-docker" in json.loads(out)["error"]["hint"]
    assert err.startswith("sealroom: error: ")
