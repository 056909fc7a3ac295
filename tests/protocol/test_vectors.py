"""Every vector ends with the code and at the stage that it names; writing them again changes nothing."""

from __future__ import annotations

import pytest

from sealroom.protocol.errors import CannotOpen, Malformed, NotAcceptable, NotGenuine
from sealroom.protocol.keys import from_text
from tests.vectors import cases, generate, run, run_statements

FAMILIES = {kind.family for kind in (Malformed, NotGenuine, NotAcceptable, CannotOpen)}


@pytest.mark.parametrize(("form", "name"), cases.names(), ids=[f"{form}/{name}" for form, name in cases.names()])
def test_a_vector_ends_as_it_says(form: str, name: str):
    vector = cases.load(form, name)
    assert run.run(form, vector) == (vector.headers["expect"], vector.headers["stage"])


@pytest.mark.parametrize("form", cases.FORMATS)
def test_every_format_has_what_holds_and_what_does_not(form: str):
    found = [cases.load(kind, name).headers for kind, name in cases.names() if kind == form]
    assert {headers["expect"] == cases.OK for headers in found} == {True, False}
    assert {h["expect"].split(".")[0] for h in found} - {cases.OK} <= FAMILIES
    assert all(headers["comment"] for headers in found)


def test_writing_the_vectors_again_changes_nothing():
    assert generate.differences() == []


def test_files_come_back_from_their_bytes():
    for form, name in cases.names():
        assert cases.load(form, name).to_bytes() == (cases.FOLDER / form / name).read_bytes()


def test_every_kept_hpke_output_is_used_and_has_an_hpke_outputs_size():
    kept = cases.shared("hpke")
    assert all(len(from_text(text)) >= 1136 for text in kept.values())


def test_every_admission_check_has_a_vector_that_breaks_it():
    stages = {cases.load(form, name).headers["stage"] for form, name in cases.names() if form == "request-admission"}
    assert stages == {str(number) for number in range(1, 12)}
    assert {cases.load(f, n).headers["stage"] for f, n in cases.names() if f == "grant"} == {"12", "13", "14"}


def stages(form: str) -> set[str]:
    return {h["stage"] for f, n in cases.names() if f == form and (h := cases.load(f, n).headers)["expect"] != cases.OK}


def test_every_step_of_the_offline_check_has_a_vector_that_breaks_it():
    assert stages("receipt-bundle") == {"decode", *"12345678"}
    assert stages("agreement-chain") == set("1234")
    assert stages("bundle-size") == {"size", "manifest"}
    assert stages("decision") == {"officer", "about"}
    assert stages("witness") == {"decode", "party", "signature", "challenge", "statements"}


@pytest.mark.parametrize("kind", run_statements.KINDS)
def test_every_kind_of_statement_has_vectors(kind: str):
    found = [h for f, n in cases.names() if f == "statement" and (h := cases.load(f, n).headers)["kind"] == kind]
    assert {"ok", "E1.unknown-field", "E1.missing-field"} <= {headers["expect"] for headers in found}
    assert len(found) >= 5
