"""The commands of a run: what they print, which exit code they end with, from request to verified receipt."""

from __future__ import annotations

import json

import pytest

from sealroom.client import __main__ as program
from sealroom.client import keyfile
from sealroom.client.entries import Amount, Draft
from sealroom.protocol.keys import SigningKey
from tests.client_broker.world import NOW, PASSPHRASE, World

OFFICER = SigningKey.generate()
EVENTS = ["challenged", "granted", "granted", "released", "cosigned"]


@pytest.fixture
def world(tmp_path, monkeypatch):
    manual = {"mode": "manual", "threshold": 1, "officers": [OFFICER.public.text], "deadline": 1000}
    made = World(tmp_path, consent={"partner": manual})
    monkeypatch.setattr("time.time", made.clock)
    monkeypatch.setattr("sealroom.client.choosing.Gateway", lambda _: made.gateway)
    monkeypatch.setattr("sealroom.client.commands.stop.Gateway", lambda _: made.gateway)
    monkeypatch.setenv("SEALROOM_PASSPHRASE", PASSPHRASE)
    monkeypatch.delenv("SEALROOM_PASSPHRASE_FILE", raising=False)
    for home in made.homes.values():
        path = home.root / "config.json"
        document = json.loads(path.read_text()) | {"gateway": "http://127.0.0.1:1"}
        path.write_text(json.dumps(document))
    keyfile.create(tmp_path / "officer.key", OFFICER, PASSPHRASE)
    return made


@pytest.fixture
def typed(world, capsys):
    """Type a command at a party's keyboard; (exit code, its JSON answer, what it said)."""

    def run(party, *words):
        code = program.outcome([*words, "--home", str(world.homes[party].root), "--json"])
        out = capsys.readouterr()
        assert len(out.out.splitlines()) <= 1
        return code, json.loads(out.out or "{}"), out.err

    return run


def test_a_run_by_commands_alone(world, typed):
    code, asked, talk = typed("bank", "run", "--rules", "overlap", "--yes")
    assert code == 0
    assert "may cost partner, from prospects: epsilon 1" in talk
    run = asked["run"]
    code, seen, _ = typed("bank", "watch", run[:10], "--once")
    assert (code, seen["state"], seen["waiting_for"]) == (0, "waiting-for-challenges", ["bank", "partner"])
    for _ in range(2):
        for party in ("bank", "partner"):
            assert typed(party, "broker", "--once")[0] == 0
    code, _, _ = typed("bank", "results", run[:10])
    assert code == 5
    code, events, _ = typed("partner", "broker", "--once")
    assert [event["kind"] for event in events["events"]] == ["asked", "asked"]
    code, listed, _ = typed("partner", "inbox")
    releases = [item["release"] for item in listed["releases"]]
    assert len(releases) == 2
    officer = str(world.folder / "officer.key")
    code, noted, talk = typed("partner", "inbox", "approve", releases[0], "--officer", officer, "--yes")
    assert (code, noted["yes"]) == (0, 1)
    assert "SIMULATED" in talk
    assert typed("partner", "inbox", "refuse", releases[1], "--officer", officer, "--reason", "no", "--yes")[0] == 0
    for party in ("partner", "bank"):
        assert typed(party, "broker")[0] == 0
    code, listed, _ = typed("partner", "inbox", "--all")
    assert {item["outcome"] for item in listed["releases"]} == {"release", "refuse"}
    assert typed("partner", "inbox")[1]["releases"] == []
    _finish(world, typed, run)


def _finish(world, typed, run):
    outcome = {}
    for party in ("bank", "compliance"):
        code, got, _ = typed(party, "results", run, "--open")
        outcome[party] = got
        assert code == 0
    opened = [item for got in outcome.values() for item in got["opened"]]
    assert [item["content"] for item in opened] == [{"count": 1230}]
    assert outcome["bank"]["final"]
    assert outcome["bank"]["platform_class"] == "simulated"
    code, cosigned, _ = typed("compliance", "cosign", run)
    assert (code, cosigned["run"]) == (0, run)
    assert typed("compliance", "cosign", run)[0] == 2
    code, done, _ = typed("bank", "watch", run)
    assert (code, done["state"]) == (0, "done")
    code, listed, _ = typed("bank", "watch")
    assert [item["run"] for item in listed["runs"]] == [run]


def test_a_receipt_is_verified_without_a_home(world, typed, tmp_path, capsys):
    world.homes["partner"]._signing = world.members["partner"].signing
    run = world.ask("audience")
    world.play()
    assert typed("partner", "results", run)[0] == 0
    file = str(world.homes["partner"].run_folder(run) / "receipt.json")
    root = tmp_path / "root.der"
    root.write_bytes(world.processor.root_certificate)
    nowhere = ["--home", str(tmp_path / "nobody")]
    assert program.outcome(["receipt", "verify", file, *nowhere]) == 3
    assert "E3.root-not-named" in capsys.readouterr().err
    assert program.outcome(["receipt", "verify", file, "--root", str(root), "--require-final", *nowhere]) == 0
    said = capsys.readouterr().out
    assert said.startswith("SIMULATED platform")
    assert "final: cosigned by bank" in said
    assert typed("bank", "receipt", "verify", file)[0] == 0
    (tmp_path / "cut.json").write_bytes((world.homes["partner"].run_folder(run) / "receipt.json").read_bytes()[:-1])
    assert program.outcome(["receipt", "verify", str(tmp_path / "cut.json"), *nowhere]) == 3
    pem = tmp_path / "root.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    assert program.outcome(["receipt", "verify", file, "--root", str(pem), *nowhere]) == 2


def test_a_program_that_was_not_approved_ends_the_broker_with_its_own_code(world, typed):
    world.make_gate().measurement = "c2" * 48
    world.ask()
    for party in ("bank", "partner"):
        typed(party, "broker")
    code, answer, talk = typed("partner", "broker")
    assert code == 6
    assert answer["error"]["code"] == "E3.measurement"
    assert "c2c2c2" in talk


def test_a_purse_that_cannot_pay_ends_the_broker_with_its_own_code(world, typed):
    world.ask("overlap", "audience", "quality")
    with world.ledger("partner") as ledger:
        spent = Draft(
            format="sealroom/ledger-entry/v1",
            kind="release",
            once="earlier",
            name="earlier",
            agreement="aa" * 32,
            remark="x",
            charges={"prospects": Amount(epsilon=3_500_000)},
            created=1,
            deadline=0,
        )
        ledger.append(spent, limits={"prospects": Amount(epsilon=10**9)})
    code, answer, _ = typed("partner", "broker")
    assert (code, answer["error"]["code"]) == (7, "E3.budget-spent")


def test_a_second_broker_is_refused(world, typed):
    with world.ledger("partner"):
        code, answer, _ = typed("partner", "broker")
    assert (code, answer["error"]["code"]) == (3, "E3.ledger-in-use")


def test_stop_ends_runs_and_holds_at_home(world, typed, monkeypatch):
    run = world.ask()
    monkeypatch.setattr(
        world.gateway, "stop_run", lambda r: setattr(world.gateway.run_store[r], "state", "stopped"), raising=False
    )
    code, answer, _ = typed("partner", "stop", world.id[:8], "--reason", "enough", "--yes")
    assert (code, answer["runs"], answer["sent"]) == (0, [run], True)
    world.ask("quality")
    code, answer, _ = typed("partner", "broker")
    assert (code, answer["error"]["code"]) == (3, "E3.stopped")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--rules", "nothing", "--yes"),
        ("run", "--rules", "overlap"),
        ("run", "--object", "model", "--yes"),
        ("watch", "zz"),
        ("inbox", "approve", "zz", "--yes"),
        ("inbox", "refuse", "zz"),
        ("broker", "--watch", "--once"),
        ("broker", "--every", "0"),
    ],
)
def test_wrong_use_ends_with_two(typed, words):
    assert typed("bank", *words)[0] == 2


def test_following_a_run_says_each_state_once_and_tells_how_it_ended(world, typed):
    run = world.ask()
    world.gateway.run_store[run].state = "failed"
    code, answer, talk = typed("bank", "watch", run)
    assert (code, answer["error"]["code"]) == (3, "E5.run-failed")
    assert talk.count("failed") >= 1
    assert world.clock.now == NOW


def test_a_watching_broker_writes_one_line_of_json_for_each_event(world, monkeypatch, capsys):
    world.ask("audience")
    left = iter(range(3))

    def nap(_):
        if next(left, None) is None:
            raise KeyboardInterrupt
        world.step("partner")

    monkeypatch.setattr("time.sleep", nap)
    home = str(world.homes["bank"].root)
    assert program.outcome(["--json", "broker", "--watch", "--home", home]) == 130
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["format"] for line in lines} == {"sealroom/cli/v1"}
    assert [line["event"]["kind"] for line in lines[:-1]] == EVENTS
    assert lines[-1]["error"]["code"] == "Interrupted"


def test_a_broker_that_refuses_evidence_says_every_check_and_what_else_it_did(world, typed):
    run = world.ask("audience")
    world.make_gate().measurement = "d2" * 48
    assert typed("bank", "broker")[0] == 0
    assert typed("partner", "broker")[0] == 0
    code, answer, talk = typed("bank", "broker")
    assert code == 6
    assert [(event["kind"], event["run"], event["code"]) for event in answer["events"]] == [
        ("declined", run, None),
        ("no", run, "E3.measurement"),
    ]
    made = answer["error"]["checks"]
    assert made == answer["events"][1]["checks"]
    assert [check["name"] for check in made if check["outcome"] == "fail"] == ["measurement"]
    for check in made:
        assert talk.count(f" {check['name']}: {check['value']}; expected: {check['expectation']}") >= 1
    assert "measure the image, then approve it or not" in talk


def test_a_run_that_is_only_looked_at_says_its_price_and_asks_for_nothing(world, typed):
    code, answer, talk = typed("bank", "run", "--rules", "overlap", "--dry-run")
    assert (code, answer["dry_run"], answer["rules"]) == (0, True, ["overlap"])
    assert answer["costs"]["partner"]["prospects"]["epsilon"] > 0
    assert "may cost partner" in talk
    assert world.gateway.run_store == {}
