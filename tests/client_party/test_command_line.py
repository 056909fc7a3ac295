"""The `sealroom` command as people and scripts meet it: manners, exit codes, and a whole agreement from the outside."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from sealroom.attestation.verdict import EvidenceNotAcceptable
from sealroom.client import agreeing, cli, doctor, errors, files, ui
from sealroom.client.commands import agreement_draft
from sealroom.protocol.errors import (
    CannotOpen,
    Malformed,
    NotAcceptable,
    NotGenuine,
    NotReleased,
    SealroomError,
    UsageError,
)
from tests.client_party.playing import BANK_CSV, PARTNER_CSV, PHRASE, Players, draft_for, spec_value

Run = Callable[..., tuple[int, str, str]]
MINE = (
    "init", "next", "doctor", "keygen", "columns", "agreement new", "agreement sign", "agreement merge",
    "agreement import", "agreement show", "agreement diff", "agreement amend", "measure", "approve", "revoke", "pack",
    "seal", "submit",
)  # fmt: skip
MEASUREMENT = "ab" * 48


def answer(out: str) -> dict[str, Any]:
    """The one JSON object on stdout."""
    value: dict[str, Any] = json.loads(out)
    assert value["format"] == ui.FORMAT
    return value


@pytest.mark.parametrize("words", MINE)
def test_help_fits_a_screen_and_ends_with_an_example(sealroom: Run, words: str) -> None:
    code, out, err = sealroom(*words.split(), "--help")
    assert (code, err) == (0, "")
    lines = out.rstrip().splitlines()
    assert len(lines) <= 48
    assert lines[-2].strip() == "Example:"
    assert lines[-1].strip().startswith(f"sealroom {words}")
    assert "--json" in out


def test_the_list_of_commands_names_every_one_with_a_summary(sealroom: Run) -> None:
    code, out, _ = sealroom("--help")
    assert code == 0
    for name, (_, summary) in cli.COMMANDS.items():
        assert name in out
        assert summary.split()[0] in out
    assert "7 budget spent" in " ".join(out.split())


@pytest.mark.parametrize("name", [n for n in cli.COMMANDS if n != "demo"])
def test_every_name_of_the_table_leads_to_a_command(name: str) -> None:
    context = click.Context(cli.cli)
    assert isinstance(cli.cli.get_command(context, name), click.Command)


def test_a_name_whose_module_is_missing_is_told(sealroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "ghost", ("ghost:command", "Not there."))
    code, _, err = sealroom("ghost")
    assert code == errors.USAGE
    assert "not part of this installation" in err
    monkeypatch.setitem(cli.COMMANDS, "odd", ("init:_NEXT", "No command."))
    assert sealroom("odd")[0] == errors.USAGE


def test_a_package_that_is_missing_is_named() -> None:
    error = cli._not_installed("demo", ModuleNotFoundError("no", name="fastapi"))
    assert "fastapi" in error.message
    assert "pip install" in error.hint


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2), (Malformed("x", "x"), 3), (NotGenuine("x", "x"), 3), (NotAcceptable("x", "x"), 3),
        (CannotOpen(), 3), (NotReleased("x", "x"), 3), (errors.NotAuthorized("x"), 4), (errors.Waiting("x"), 5),
        (EvidenceNotAcceptable("x", "x", checks=()), 6), (errors.BudgetSpent("x", "x"), 7),
        (errors.Unreachable("x"), 1),
        (ui.Declined("x"), 1), (SealroomError("x"), 1),
    ],
)  # fmt: skip
def test_each_family_of_errors_has_its_exit_code(error: SealroomError, code: int) -> None:
    assert errors.exit_code(error) == code


def test_errors_are_told_on_stderr_in_lower_case_with_a_hint_and_as_json_on_stdout(sealroom: Run) -> None:
    code, out, err = sealroom("next")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("sealroom: error: there is no home")
    assert second.startswith("sealroom: hint: ")
    assert not first.endswith(".")
    code, out, _ = sealroom("next", "--json")
    assert answer(out)["error"]["hint"]
    for wrong in (["nonsense"], ["init", "--nonsense"], ["seal"]):
        code, _, err = sealroom(*wrong)
        assert code == 2
        assert err.startswith("sealroom: error: ")


def test_the_operating_systems_errors_are_told_too(sealroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr(cli, "run", fail)
    code, _, err = sealroom("next")
    assert (code, err) == (1, "sealroom: error: /some/file: permission denied\n")

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupt)
    assert sealroom("next")[0] == errors.INTERRUPTED


def process(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a program of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SEALROOM_")}
    return subprocess.run(
        [sys.executable, "-m", "sealroom.client", *map(str, words)], env={**kept, **environment}, capture_output=True,
        text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_listing_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from sealroom.client.__main__ import outcome; outcome(['--help']); print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    for heavy in ("nacl", "cryptography", "httpx2", "rich", "numpy", "pandas", "sealroom.client.home"):
        assert heavy not in loaded


def test_a_home_is_made_by_a_program_of_its_own_and_only_once(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    words = ("init", "--role", "partner", "--name", "partner", "--to", tmp_path, "--json")
    made = process(*words, SEALROOM_HOME=home, SEALROOM_PASSPHRASE=PHRASE)
    assert made.returncode == 0
    card = json.loads((tmp_path / "partner.party.json").read_text())
    assert answer(made.stdout)["fingerprint"] == card["fingerprint"]
    assert PHRASE not in made.stdout + made.stderr
    assert process(*words, SEALROOM_HOME=home, SEALROOM_PASSPHRASE=PHRASE).returncode == 2


def test_without_a_passphrase_a_program_stops_instead_of_asking(tmp_path: Path) -> None:
    done = process("init", "--role", "bank", "--name", "bank", "--home", tmp_path / "h", "--to", tmp_path)
    assert done.returncode == errors.AUTHORIZATION
    assert "SEALROOM_PASSPHRASE_FILE" in done.stderr
    assert not (tmp_path / "h" / "config.json").exists()


def test_no_command_takes_a_passphrase() -> None:
    context = click.Context(cli.cli)
    for name in (n for n in cli.COMMANDS if n != "demo"):
        command = cli.cli.get_command(context, name)
        assert command is not None
        assert not any("pass" in str(parameter.name) for parameter in command.params)


def certificate(path: Path, encoding: Encoding) -> Path:
    """A root certificate of nobody."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=1))
    path.write_bytes(builder.sign(key, None).public_bytes(encoding))
    return path


@pytest.fixture
def table(players: Players, tmp_path: Path) -> Path:
    """A folder with cards, spec, data, code and a root."""
    for name in ("bank", "partner", "operator"):
        (tmp_path / f"{name}.party.json").write_bytes(players.home(name).card().to_bytes())
    value = spec_value()
    value["datasets"]["customers"] |= {"most_rows": None, "features": {"balance": "infer", "y": "category"}}
    del value["datasets"]["people"]
    (tmp_path / "spec.json").write_text(json.dumps(value))
    (tmp_path / "bank.csv").write_text(BANK_CSV)
    (tmp_path / "partner.csv").write_text(PARTNER_CSV)
    players.bundle()
    certificate(tmp_path / "root.der", Encoding.DER)
    return tmp_path


def test_an_agreement_goes_round_from_the_outside(
    sealroom: Run, players: Players, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table)
    homes = {name: players.root / name for name in ("bank", "partner", "operator")}
    columns = [
        "columns",
        "partner.csv",
        "--as",
        "people",
        "--output",
        "people.columns.json",
        "--home",
        homes["partner"],
    ]
    assert answer(sealroom(*columns, "--json")[1])["features"] == {"age": "int", "job": ["clerk", "cook"]}
    new = [
        "agreement", "new", "--template", "lookalike", "--spec", "spec.json",
        "--party", "partner.party.json", "--party", "operator.party.json",
        "--operator", "operator", "--platform-root", "root.der", "--infer", "customers=bank.csv",
        "--columns", "people.columns.json", "--home", homes["bank"], "--json",
    ]  # fmt: skip
    code, out, err = sealroom(*new, "--sign")
    assert code == 0, err
    drafted = answer(out)
    assert (drafted["missing"], drafted["pinned"]) == (["operator", "partner"], False)
    assert sealroom(*new)[0] == 2  # agreement.json is there already
    waiting = answer(sealroom("next", "--json", "--home", homes["bank"])[1])["steps"]
    assert any("operator and partner" in step["what"] for step in waiting)
    file = "agreement.signed.json"
    assert sealroom("agreement", "import", file, "--home", homes["bank"])[0] == errors.WAITING
    assert sealroom("agreement", "sign", file, "--home", homes["operator"])[0] == 2  # nobody is here to say yes
    assert sealroom("agreement", "sign", file, "--yes", "--home", homes["operator"])[0] == 0
    code, out, err = sealroom("agreement", "sign", file, "--yes", "--home", homes["partner"], "--json")
    assert answer(out)["pinned"]
    assert "fingerprint" in err
    pinned = answer(sealroom("agreement", "import", file, "--home", homes["bank"], "--json")[1])
    assert pinned["agreement"] == drafted["agreement"]
    code, out, _ = sealroom("approve", MEASUREMENT, "--home", homes["bank"], "--output", "approval.json", "--json")
    assert (answer(out)["sent"], code) == (False, 0)
    assert Path("approval.json").is_file()
    assert sealroom("revoke", MEASUREMENT[:6], "--home", homes["bank"])[0] == 0
    code, out, err = sealroom("seal", "customers=bank.csv", "model=job", "--home", homes["bank"], "--json")
    assert code == 0
    assert [item["rows"] for item in answer(out)["objects"]] == [3, None]
    assert "housing" in err  # what is not agreed is left out, and that is said
    assert sealroom("submit", "--home", homes["bank"])[0] == 2  # no gateway
    assert sealroom("seal", "bank.csv", "--as", "customers", "--home", homes["partner"])[0] == errors.REFUSED


def test_bad_rows_are_listed_on_stderr(sealroom: Run, agreed: Players, tmp_path: Path) -> None:
    path = agreed.write("bank.csv", BANK_CSV.replace("10", "ten").replace("no,yes", "no,perhaps"))
    words = ["seal", path, "--as", "customers", "--home", agreed.root / "bank", "--to", tmp_path]
    code, out, err = sealroom(*words)
    assert (code, out) == (errors.REFUSED, "")
    assert "row 2, balance: not a whole number" in err
    assert "row 3, y: not one of the declared values" in err
    assert not (tmp_path / "customers.sealed").exists()
    assert sealroom("seal", path, "--home", agreed.root / "bank")[0] == 2
    assert sealroom("seal", "a=b", "c=d", "--as", "x", "--home", agreed.root / "bank")[0] == 2


def test_two_copies_are_joined_and_a_draft_is_not(sealroom: Run, players: Players, tmp_path: Path) -> None:
    draft = draft_for(players)
    one, other, plain = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "draft.json"
    agreeing.write_envelope(one, players.signed(draft, ("bank",)))
    agreeing.write_envelope(other, players.signed(draft, ("partner", "operator")))
    agreeing.write_draft(plain, draft)
    home = players.root / "bank"
    joined = sealroom("agreement", "merge", one, other, "--output", tmp_path / "all.json", "--home", home, "--json")
    assert answer(joined[1])["missing"] == []
    assert sealroom("agreement", "import", tmp_path / "all.json", "--home", home)[0] == 0
    assert sealroom("agreement", "merge", one, plain, "--output", tmp_path / "x.json", "--home", home)[0] == 2
    assert sealroom("agreement", "import", plain, "--home", home)[0] == 2
    shown = answer(sealroom("agreement", "show", plain, "--json")[1])
    assert (shown["signed_by"], shown["platform_class"]) == (None, "simulated")
    _, out, _ = sealroom("agreement", "show", plain)
    for name, fingerprint in shown["fingerprints"].items():
        assert f"  {name}: {fingerprint}" in out
    cards = {name: players.home(name).card().fingerprint for name in ("bank", "partner", "operator")}
    root = shown["document"]["platforms"][0]["roots"][0]
    assert shown["fingerprints"] == {**cards, "platform root 1": root}
    _, out, _ = sealroom("agreement", "show", "--for-lawyers", "--home", home)
    assert out.startswith("# What leaves, to whom")
    other.write_text("nonsense")
    assert sealroom("agreement", "show", other)[0] == errors.REFUSED


def test_a_next_version_is_drafted_compared_and_signed(sealroom: Run, agreed: Players, tmp_path: Path) -> None:
    home, target = agreed.root / "bank", tmp_path / "next.json"
    identity = agreed.home("bank").agreement().id
    assert sealroom("agreement", "amend", "--output", target, "--home", home)[0] == 0
    target.write_text(target.read_text().replace('"epsilon": 500000', '"epsilon": 900000', 1))
    _, out, _ = sealroom("agreement", "diff", identity[:10], target, "--home", home, "--json")
    assert answer(out)["widens"] == 1
    code, _, err = sealroom("agreement", "sign", target, "--yes", "--home", home)
    assert code == 0
    assert "WIDER  rules/overlap/epsilon" in err


def test_a_vendors_root_is_not_taken_for_a_simulated_one(
    sealroom: Run, players: Players, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table)
    digest = hashlib.sha256((table / "root.der").read_bytes()).hexdigest()
    monkeypatch.setattr(agreement_draft, "VENDOR_ROOTS", {digest: "milan"})
    new = [
        "agreement",
        "new",
        "--template",
        "overlap",
        "--spec",
        "spec.json",
        "--operator",
        "operator",
        "--home",
        players.root / "bank",
    ]
    code, _, err = sealroom(*new, "--infer", "customers=bank.csv", "--platform-root", "root.der")
    assert code == 2
    assert "hardware" in err or "two datasets" in err
    assert sealroom(*new)[0] == 2


def test_pem_and_der_name_the_same_root(tmp_path: Path) -> None:
    der = certificate(tmp_path / "root.der", Encoding.DER)
    pem = tmp_path / "root.pem"
    pem.write_bytes(x509.load_der_x509_certificate(der.read_bytes()).public_bytes(Encoding.PEM))
    assert agreement_draft._der(der) == agreement_draft._der(pem)
    pem.write_text("nonsense")
    with pytest.raises(Malformed):
        agreement_draft._der(pem)


def test_an_officer_gets_a_key_of_its_own(sealroom: Run, tmp_path: Path) -> None:
    _, out, _ = sealroom("keygen", tmp_path / "alice.key", "--json")
    assert len(answer(out)["signing_key"]) == 43
    files.require_private(tmp_path / "alice.key")
    assert sealroom("keygen", tmp_path / "alice.key")[0] == 2
    assert sealroom("keygen")[0] == 2


def test_keys_are_replaced_only_while_nothing_needs_them(
    sealroom: Run, players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, draft = players.home("bank").card(), draft_for(players)
    assert sealroom("keygen", "--rotate", "--home", players.root / "bank")[0] == 0
    assert players.locked("bank").card() != before
    envelope = players.signed(draft)
    players.home("partner").save_agreement(envelope)
    assert sealroom("keygen", "--rotate", "--home", players.root / "partner")[0] == 2


def test_a_bundle_packs_to_the_same_bytes_anywhere(sealroom: Run, players: Players, tmp_path: Path) -> None:
    folder = players.bundle()
    first = answer(sealroom("pack", folder, "--output", tmp_path / "1.bundle", "--json")[1])
    os.utime(folder / "job.py", (1, 1))
    second = answer(sealroom("pack", folder, "--output", tmp_path / "2.bundle", "--json")[1])
    assert first["sha256"] == second["sha256"]
    assert sealroom("pack", folder, "--output", tmp_path / "1.bundle")[0] == 2
    (folder / "link.py").symlink_to("job.py")
    assert sealroom("pack", folder, "--output", tmp_path / "3.bundle")[0] == errors.REFUSED


def test_what_is_no_image_has_no_measurement(sealroom: Run, tmp_path: Path) -> None:
    assert sealroom("measure", tmp_path / "absent")[0] == errors.FAILED
    (tmp_path / "empty").mkdir()
    assert sealroom("measure", tmp_path / "empty")[0] == errors.REFUSED


def test_the_gateway_is_set_and_changed_by_init(sealroom: Run, players: Players, tmp_path: Path) -> None:
    home = players.root / "bank"
    pem = tmp_path / "gateway.crt"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    assert sealroom("init", "--gateway", "https://gw.example:8443", "--home", home)[0] == 2
    code, out, _ = sealroom(
        "init", "--gateway", "https://gw.example:8443", "--gateway-certificate", pem, "--home", home, "--json"
    )
    assert (code, answer(out)["gateway"]) == (0, "https://gw.example:8443")
    pinned = players.home("bank").config.certificate
    assert pinned is not None
    assert pinned.read_text() == pem.read_text()
    assert sealroom("init", "--home", tmp_path / "new")[0] == 2


def test_a_doctor_finds_what_is_open_and_says_so(
    sealroom: Run, players: Players, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = players.root / "bank"
    code, out, _ = sealroom("doctor", "--home", home, "--json")
    assert code == 0
    found = {f["name"]: f["health"] for f in answer(out)["findings"]}
    assert (found["signing key"], found["gateway"], found["card"]) == ("ok", "note", "ok")
    (home / "keys" / "signing.key").chmod(0o644)
    code, out, _ = sealroom("doctor", "--home", home, "--json")
    assert code == errors.FAILED
    bad = [f for f in answer(out)["findings"] if f["health"] == "bad"]
    assert any("chmod 600" in f["hint"] for f in bad)
    monkeypatch.delenv("SEALROOM_PASSPHRASE")
    home.chmod(0o755)
    assert "bad" in sealroom("doctor", "--home", home)[1]
    assert "there is none yet" in sealroom("doctor", "--home", home / "absent")[1]


def test_a_doctor_says_when_nobody_answers(sealroom: Run, players: Players) -> None:
    home = players.root / "bank"
    assert sealroom("init", "--gateway", "http://127.0.0.1:9", "--home", home)[0] == 0
    code, out, _ = sealroom("doctor", "--home", home)
    assert code == errors.FAILED
    assert "does not answer" in out


@pytest.mark.parametrize(("offset", "health"), [(0, "ok"), (-5, "ok"), (300, "bad"), (-300, "bad"), (None, "note")])
def test_a_doctor_compares_the_clock_with_the_gateways(
    sealroom: Run, players: Players, monkeypatch: pytest.MonkeyPatch, offset: int | None, health: str
) -> None:
    home = players.root / "bank"
    assert sealroom("init", "--gateway", "http://127.0.0.1:9", "--home", home)[0] == 0
    date = None if offset is None else int(time.time()) + offset
    monkeypatch.setattr(doctor, "_ask_date", lambda base, certificate: date)
    monkeypatch.setattr(doctor, "_known", lambda _: iter(()))
    code, out, _ = sealroom("doctor", "--home", home, "--json")
    found = {f["name"]: f["health"] for f in answer(out)["findings"]}
    assert (found["gateway"], found["clock"]) == ("ok", health)
    assert code == (errors.FAILED if health == "bad" else 0)


def completed(words: str, **more: str) -> str:
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), **more}
    return process(**{"_SEALROOM_COMPLETE": "bash_complete", **environment}).stdout


def test_a_shell_can_complete_commands_and_options() -> None:
    assert "_SEALROOM_COMPLETE" in completed("sealroom", _SEALROOM_COMPLETE="bash_source")
    assert completed("sealroom rec").split() == ["plain,receipt"]
    assert completed("sealroom seal --dr").split() == ["plain,--dry-run"]
