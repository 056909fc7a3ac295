"""The vectors runner passes genuine vectors, and fails a case whose expectation is wrong in any one place."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import subprocess
import sys

import pytest

from sealroom.attestation import vectors

WHEN = "2026-09-22T00:00:00Z"


def test_all_vectors_of_this_platform_pass(evidence, capsys):
    assert vectors.main([str(evidence)]) == 0
    lines = capsys.readouterr().out.splitlines()
    cases = json.loads((evidence / "MANIFEST.json").read_text())["cases"]
    ours = sum(case["platform"] == "sev-snp" for case in cases)
    assert ours >= 28
    skipped = f", {len(cases) - ours} skipped" if len(cases) > ours else ""
    assert lines[-1] == f"{ours} passed, 0 failed{skipped}"
    assert sum(line.startswith("skipped ") for line in lines) == len({c["platform"] for c in cases}) - 1


def test_the_command_runs_with_warnings_as_errors(evidence):
    command = [sys.executable, "-W", "error", "-m", "sealroom.attestation.vectors", str(evidence)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def folder(lab, tmp_path):
    """A folder with one good case, and a function that runs it after a change."""
    parts = lab.parts()
    roles = {"report": "report", "endorsement_key": "vek", "intermediate": "intermediate", "root": "root", "crl": "crl"}
    for role, part in roles.items():
        (tmp_path / role).write_bytes(parts[part])
    good = {
        "id": "good",
        "platform": "sev-snp",
        "files": {role: role for role in roles},
        "trust_anchor": "root",
        "verify_at": WHEN,
        "expect": {
            "crypto": "pass",
            "default_policy": "pass",
            "policy_reasons": [],
            "strict_policy": "pass",
            "fields": {
                "version": 5,
                "vmpl": 0,
                "signing_key": "VCEK",
                "reported_tcb": {"bl": 10, "tee": 0, "snp": 23, "ucode": 84},
            },
        },
    }

    def run(*changes, others=()):
        case = copy.deepcopy(good)
        for path, value in changes:
            *outer, last = path.split("/")
            inner = case
            for key in outer:
                inner = inner[key]
            if value is None:
                del inner[last]
            else:
                inner[last] = value
        manifest = {"schema": "attestation-vectors/1", "cases": [case, *others]}
        (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest))
        return vectors.main([str(tmp_path)])

    run.path = tmp_path
    return run


def test_a_good_case_passes(folder, capsys):
    assert folder() == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


@pytest.mark.parametrize(
    "change",
    [
        ("expect/crypto", "fail"),
        ("expect/stage", "signature"),
        ("expect/default_policy", "fail"),
        ("expect/strict_policy", "fail"),
        ("expect/policy_reasons", ["debug_allowed"]),
        ("expect/fields/vmpl", 1),
        ("expect/fields/reported_tcb", {"bl": 10}),
        ("expect/fields/unknown", 1),
        ("expect", None),
        ("expect", []),
        ("platform", None),
        ("files/report", "missing"),
        ("files/report", "../report"),
        ("files/report", "/etc/hostname"),
        ("files/intermediate", None),
        ("trust_anchor", "report"),
        ("verify_at", "2020-01-01T00:00:00Z"),
        ("verify_at", "never"),
    ],
)
def test_a_wrong_expectation_or_a_broken_case_fails(folder, capsys, change):
    assert folder(change) == 1
    out = capsys.readouterr().out
    assert out.endswith("0 passed, 1 failed\n")
    assert out.startswith("good: ")


@pytest.mark.parametrize(
    ("stage", "status"), [("signature", 0), ("chip/signature", 0), ("chain", 1), ("parse", 1), (None, 0)]
)
def test_a_case_that_must_fail_has_to_fail_at_its_stage(folder, lab, stage, status):
    report = bytearray(lab.parts()["report"])
    report[0x90] ^= 1
    (folder.path / "report").write_bytes(report)
    changes = [("expect", {"crypto": "fail"} | ({"stage": stage} if stage else {}))]
    assert folder(*changes) == status


def test_reasons_of_a_policy_must_be_the_listed_ones(folder, lab):
    (folder.path / "report").write_bytes(lab.sign(lab.report(vmpl=1, policy=0xB0000)))
    fail = [("expect/default_policy", "fail"), ("expect/strict_policy", "fail"), ("expect/fields", {})]
    assert folder(*fail, ("expect/policy_reasons", ["vmpl_nonzero", "debug_allowed"])) == 0
    assert folder(*fail, ("expect/policy_reasons", ["vmpl_nonzero"])) == 1


def test_a_replay_is_the_same_evidence_as_its_base(folder, lab):
    base = {"id": "base", "platform": "other", "files": {"report": "report"}}
    replay = [("expect", {"crypto": "pass", "stage": "replay-cache"}), ("derived_from", "base")]
    assert folder(*replay, others=(base,)) == 0
    assert folder(*replay[:1]) == 1
    (folder.path / "another").write_bytes(lab.sign(lab.report(vmpl=1)))
    assert folder(*replay, others=({**base, "files": {"report": "another"}},)) == 1


def test_a_pre_image_of_host_data_is_tried_where_the_case_says_how(folder, lab):
    (folder.path / "report").write_bytes(lab.sign(lab.report(host_data=hashlib.sha256(b"agreed").digest())))
    (folder.path / "good").write_bytes(base64.b64encode(b"agreed"))
    (folder.path / "other").write_bytes(base64.b64encode(b"other"))
    assert folder(("expect/extra", {"host_data_preimage": "good (base64-decode, sha256)"})) == 0
    assert folder(("expect/extra", {"host_data_preimage": "other (base64-decode, sha256)"})) == 1
    assert folder(("expect/extra", {"host_data_preimage": "other (another way)"})) == 0


def test_a_list_alone_can_be_a_case(folder):
    alone = [("files", {"crl": "crl", "root": "root", "intermediate": "intermediate"})]
    fields = {"revoked_serials": ["63"], "ask_serial": "07", "this_update": "2026-09-21"}
    assert folder(*alone, ("expect", {"crypto": "pass", "fields": fields})) == 0
    assert folder(*alone, ("expect", {"crypto": "fail", "stage": "revocation"})) == 1
    late = ("verify_at", "2026-11-01T00:00:00Z")
    assert folder(*alone, late, ("expect", {"crypto": "fail", "stage": "revocation-freshness"})) == 0
    assert folder(("files", {"crl": "crl"}), ("expect", {"crypto": "pass"})) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "other"}', '{"schema": "attestation-vectors/1", "cases": {}}'])
def test_a_folder_without_a_manifest_of_this_schema_is_misuse(tmp_path, text, capsys):
    assert vectors.main([str(tmp_path)]) == 2
    (tmp_path / "MANIFEST.json").write_text(text)
    assert vectors.main([str(tmp_path)]) == 2
    assert vectors.main([]) == 2
    assert "usage" in capsys.readouterr().err
