"""What a person reads about evidence, and what a program keeps of it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sealroom.attestation.evidence import SnpEvidence
from sealroom.attestation.explain import checks, explain
from sealroom.attestation.snp import abi
from sealroom.attestation.verdict import Check, Verdict, WithChecks
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.schema import decode, encode


def refusal(lab, evidence, **changes):
    with pytest.raises(WithChecks) as caught:
        lab.appraise(evidence, **changes)
    return caught.value


def test_a_simulated_verdict_says_so_first_and_never_speaks_of_hardware(lab):
    lines = explain(lab.appraise(lab.evidence()))
    assert lines[0].startswith("SIMULATED PLATFORM")
    assert "can read and forge everything" in lines[1]
    assert not any("confidential hardware" in line for line in lines)


def test_a_hardware_verdict_says_so_first(lab):
    verdict = dataclasses.replace(lab.appraise(lab.evidence()), platform_class="confidential-hardware")
    lines = explain(verdict)
    assert lines[0].startswith("confidential hardware")
    assert not any("SIMULATED" in line for line in lines)


def test_waived_checks_are_listed(lab):
    lines = explain(lab.appraise(lab.evidence()))
    assert "  waived: two threads on a core: allowed" in lines


def test_a_refusal_names_each_failed_check_and_what_to_do(lab):
    lines = explain(refusal(lab, lab.evidence(policy=0x30000 | abi.DEBUG), measurements=frozenset()))
    assert lines[0] == "refused: the evidence is genuine, but not of what was agreed [E3.debug-allowed]"
    assert "  debugging by the host: allowed; expected: forbidden" in lines
    assert any(line.startswith("    another program was launched") for line in lines)


def test_a_refusal_of_a_forgery_says_that_nothing_counts(lab):
    lines = explain(refusal(lab, lab.evidence(), policy=lab.policy(roots=("ab" * 32,))))
    assert lines[0] == "refused: the evidence is not genuine, so nothing it says counts [E2.root]"
    assert any("fingerprint" in line for line in lines)


def test_unreadable_evidence_is_explained(lab):
    lines = explain(refusal(lab, lab.evidence(replace={"report": bytes(10)})))
    assert lines[0] == "refused: the evidence cannot be read [E1.length]"
    lines = explain(refusal(lab, dataclasses.replace(lab.evidence(), host_data_preimage="A")))
    assert lines == ("refused: the evidence cannot be read [E1.base64]", "  launch configuration: not base64url")


def test_every_check_has_a_line(lab):
    answer = lab.appraise(lab.evidence())
    assert len(checks(answer)) == len(answer.checks)
    assert any(line.startswith("waived two threads on a core") for line in checks(answer))
    failed = checks(refusal(lab, lab.evidence(), measurements=frozenset()))
    assert next(line for line in failed if line.startswith("FAILED")).startswith("FAILED measurement: 0606")


def test_a_verdict_beside_a_failed_check_cannot_exist(lab):
    verdict = lab.appraise(lab.evidence())
    failed = Check("a", "b", "c", "fail", "d", "report")
    for made in ((), (*verdict.checks, failed)):
        with pytest.raises(UsageError):
            dataclasses.replace(verdict, checks=made)
    assert isinstance(verdict, Verdict)


def test_a_verdict_is_a_json_document(lab):
    document = lab.appraise(lab.evidence()).as_document()
    assert json.loads(json.dumps(document)) == document
    assert document["fields"]["reported_tcb"] == "fmc=0 bootloader=10 tee=0 snp=23 microcode=84"
    assert document["checks"][0]["outcome"] == "pass"


def test_evidence_is_a_strict_document(lab):
    evidence = lab.evidence()
    good = encode(evidence)
    assert decode(SnpEvidence, good) == evidence
    assert decode(SnpEvidence, {**good, "crl": None, "host_data_preimage": None}).crl is None
    for name in good:
        with pytest.raises(Malformed):
            decode(SnpEvidence, {k: v for k, v in good.items() if k != name})
        with pytest.raises(Malformed):
            decode(SnpEvidence, {**good, name: "not base64!"})
