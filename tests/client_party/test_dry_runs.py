"""`--dry-run` says what would be sealed, sent or charged, and leaves everything as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sealroom.client import approving, sealing, submitting
from sealroom.client.errors import Waiting
from sealroom.protocol.sealed import TAG
from tests.client_party.playing import BANK_CSV, Players
from tests.client_party.test_submitting import MEASUREMENT, MemoryGateway, as_gateway

Run = Callable[..., tuple[int, str, str]]


def test_seal_checks_and_writes_nothing(agreed: Players, sealroom: Run, tmp_path: Path) -> None:
    table, target = agreed.write("b.csv", BANK_CSV), tmp_path / "out"
    target.mkdir()
    words = ("seal", f"customers={table}", f"model={agreed.bundle()}", "--to", target, "--home", agreed.root / "bank")
    code, out, _ = sealroom(*words, "--dry-run", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["dry_run"] is True
    assert [(item["name"], item["rows"]) for item in answer["objects"]] == [("customers", 3), ("model", None)]
    assert answer["objects"][0]["size"] == len(BANK_CSV) + TAG
    assert list(target.iterdir()) == []
    assert agreed.home("bank").objects() == []
    code, out, _ = sealroom(*words, "--dry-run")
    assert out.splitlines()[-1] == "nothing was written"
    assert sealroom(*words, "--dry-run", "--submit")[0] == 2
    table.write_text(BANK_CSV.replace("10,", "ten,"), "utf-8")
    code, _, err = sealroom(*words, "--dry-run")
    assert code == 3
    assert "row 2, balance: not a whole number" in err


def test_submit_counts_what_the_gateway_lacks_and_sends_nothing(agreed: Players, tmp_path: Path) -> None:
    gateway = MemoryGateway()
    operator, bank = agreed.home("operator"), agreed.home("bank")
    pinned = bank.agreement()
    first = submitting.plan(operator, as_gateway(gateway), operator.agreement())
    assert (first.versions, first.statements, first.objects) == ((pinned.id,), (), {})
    with pytest.raises(Waiting, match="operator has not registered"):
        submitting.plan(bank, as_gateway(gateway), pinned)
    submitting.everything(operator, as_gateway(gateway), operator.agreement())
    approval = approving.approve(bank, pinned.id, MEASUREMENT, days=3)
    sealed = sealing.seal(bank, pinned, "customers", agreed.write("b.csv", BANK_CSV), folder=tmp_path)
    calls = list(gateway.calls)
    plan = submitting.plan(bank, as_gateway(gateway), pinned)
    assert plan.objects == {"customers": sealed.ciphertext.stat().st_size}
    assert plan.statements == (approval.digest,)
    assert plan.lines()[-1] == "nothing was sent"
    assert gateway.calls == calls
    submitting.everything(bank, as_gateway(gateway), pinned)
    assert submitting.plan(bank, as_gateway(gateway), pinned).lines() == [
        "there is nothing to send",
        "nothing was sent",
    ]


def test_submit_prints_its_plan(agreed: Players, sealroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryGateway()
    monkeypatch.setattr("sealroom.client.choosing.require_gateway", lambda _: memory)
    code, out, _ = sealroom("submit", "--dry-run", "--home", agreed.root / "operator", "--json")
    assert code == 0
    assert json.loads(out)["versions"] == [agreed.home("operator").agreement().id]
    assert memory.calls == []
