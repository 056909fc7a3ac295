"""Every code that the code can put into a receipt has words in the table, and the table has no other code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealroom.enclave.engine import reasons as engine_reasons
from sealroom.enclave.gate import compute
from sealroom.enclave.jail.outcomes import OUTCOMES
from sealroom.protocol import errors, reasons
from tests import tcb

FAMILIES = {name: getattr(errors, name).family for name in ("Malformed", "NotGenuine", "NotAcceptable", "NotReleased")}
BUILT = {
    "reader-": [outcome for outcome in OUTCOMES if outcome != "ok"],
    "load-": sorted(engine_reasons.REFUSED),
}
"""Codes that the gate puts together, by their beginning; what a child says is one of these, or `other`."""
BEFORE_EVIDENCE = ("sealroom.attestation.", "sealroom.enclave.quoter")
"""What these refuse ends a session before there is evidence, and so without a receipt."""


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def written_codes(source: str) -> Iterator[str]:
    """Codes of refusals that a source file raises, and codes that it spells out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("E3."):
            yield node.value
        if not isinstance(node, ast.Call):
            continue
        if called(node) == "CannotOpen":
            yield "E4.cannot-open"
        if called(node) in FAMILIES:
            family, code = FAMILIES[called(node)], node.args[0]
            if isinstance(code, ast.Constant):
                yield f"{family}.{code.value}"
            elif isinstance(code, ast.JoinedStr) and isinstance(code.values[0], ast.Constant):
                begin = str(code.values[0].value)
                yield from (f"{family}.{begin}{end}" for end in [*BUILT[begin], "other"])
            else:
                pytest.fail(f"a code that cannot be read off its source: {ast.unparse(node)}")


def gate_codes() -> set[str]:
    modules = {m for m in tcb.gate_modules(tcb.graph()) if not m.startswith(BEFORE_EVIDENCE)}
    found = {code for module in modules for code in written_codes(tcb.path_of(module).read_text("utf-8"))}
    return {*found, "E4.cannot-open"}


def withheld_codes(root: Path) -> set[str]:
    """The engine's closed set, what the gate adds to it, and what stands for anything else."""
    source = (root / "enclave" / "gate" / "offers.py").read_text("utf-8")
    added = {
        node.args[1].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and called(node) == "Offers" and isinstance(node.args[1], ast.Constant)
    } - {None}
    assert added == {"too-large"}
    assert compute._reason("NOT A CODE") == "other"
    return {*engine_reasons.WITHHELD, *added, "other"}


def test_every_code_of_a_receipt_has_its_words_and_no_words_are_left_over(root: Path) -> None:
    assert set(reasons.GROUPS["rule"]) == withheld_codes(root)
    assert set(reasons.GROUPS["data"]) | set(reasons.GROUPS["run"]) == {*gate_codes(), "failed"}
    assert len(reasons.ADVICE) == sum(len(group) for group in reasons.GROUPS.values())


def test_the_reading_of_sources_finds_what_is_written_there() -> None:
    source = "raise Malformed('a', 'x')\nraise errors.NotReleased(f'load-{x}', 'x')\nraise CannotOpen\nEnding('E3.b')"
    assert set(written_codes(source)) == {"E1.a", "E3.b", *(f"E5.load-{end}" for end in [*BUILT["load-"], "other"])}


def test_every_advice_is_a_sentence_that_says_what_to_do() -> None:
    for code, advice in reasons.ADVICE.items():
        for text in (advice.meaning, advice.change):
            assert text[0].isupper(), code
            assert text.endswith("."), code
        assert advice.meaning != advice.change, code
    assert reasons.advice("E9.of-tomorrow") is reasons.UNKNOWN


def test_a_job_outcome_is_a_reason_of_its_own() -> None:
    jobs = {f"job-{outcome}" for outcome in OUTCOMES} - {"job-ok"}
    assert jobs <= set(reasons.GROUPS["rule"])


def test_the_gate_does_not_carry_the_table() -> None:
    assert "sealroom.protocol.reasons" not in tcb.gate_modules(tcb.graph())
