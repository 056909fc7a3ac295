"""Who may import whom, what the gate consists of, and which names the host knows: allow-lists, not deny-lists."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

from tests import tcb

ZONES = ("protocol", "attestation", "enclave", "host", "client", "jobs")


@pytest.fixture(scope="module")
def found() -> grimp.ImportGraph:
    return tcb.graph()


def test_the_graph_sees_every_source_file(found: grimp.ImportGraph, root: Path):
    files = [p for zone in ZONES for p in (root / zone).rglob("*.py") if "__pycache__" not in p.parts]
    names = {"sealroom." + ".".join(p.relative_to(root).with_suffix("").parts) for p in files}
    names = {n.removesuffix(".__init__") for n in names}
    packages = {n for n in names if not n.startswith("sealroom.jobs.")}
    assert packages <= found.modules


def test_outside_packages_of_the_gate_are_the_allowed_ones(found: grimp.ImportGraph):
    assert tcb.outside_packages(found, tcb.gate_modules(found)) <= tcb.OUTSIDE_ALLOWED


def test_the_host_reaches_wire_constants_and_nothing_else_of_ours(found: grimp.ImportGraph):
    host = {m for m in found.modules if m == "sealroom.host" or m.startswith("sealroom.host.")}
    reached = set().union(*(found.find_modules_directly_imported_by(m) for m in host))
    ours = {m for m in reached if m.startswith("sealroom") and m not in host}
    assert ours <= {"sealroom.protocol.wire", "sealroom", "sealroom.protocol"}


def test_jobs_meet_nothing_of_ours_and_nothing_meets_them(found: grimp.ImportGraph):
    jobs = {m for m in found.modules if m.startswith("sealroom.jobs")}
    out = set().union(*(found.find_modules_directly_imported_by(m) for m in jobs))
    into = set().union(*(found.find_modules_that_directly_import(m) for m in jobs))
    assert not {m for m in (out | into) - jobs if m.startswith("sealroom.")}


def test_the_gate_is_within_its_budget_of_lines(found: grimp.ImportGraph):
    assert sum(tcb.code_lines(tcb.path_of(m)) for m in tcb.gate_modules(found)) <= tcb.BUDGET


def test_what_confines_is_counted_apart_from_the_gate_and_from_what_is_confined(found: grimp.ImportGraph):
    confining = tcb.confining_modules(found)
    jail = "sealroom.enclave.jail"
    assert {f"{jail}.{name}" for name in ("zygote", "cell", "layers", "seccomp", "syscalls", "landlock")} <= confining
    assert not {f"{jail}.{name}" for name in ("harness", "importer", "reader", "libraries")} & confining
    assert not confining & tcb.gate_modules(found)


def test_every_module_says_what_it_is(root: Path):
    silent = [
        str(p)
        for zone in ZONES
        for p in (root / zone).rglob("*.py")
        if "__pycache__" not in p.parts and not p.read_text("utf-8").lstrip().startswith(('"""', "#!"))
    ]
    assert silent == []


def test_no_file_of_ours_is_longer_than_three_hundred_lines(root: Path):
    long = [
        f"{p.relative_to(root)}: {n}"
        for zone in ZONES
        for p in (root / zone).rglob("*.py")
        if "__pycache__" not in p.parts and (n := len(p.read_text("utf-8").splitlines())) > 300
    ]
    assert long == []
