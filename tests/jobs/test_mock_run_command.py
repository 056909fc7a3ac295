"""`sealroom mock` as an author meets it: exit codes, words, and the page that shows a session."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sealroom.client import __main__ as program
from sealroom.client import mocking
from sealroom.client.errors import Unreachable
from sealroom.protocol import bundle, consistency, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import NotAcceptable, UsageError
from tests.parties import Member, agreement_json

MANIFEST = {"format": "sealroom/bundle/v1", "lane": "whole", "entry": "job:run"}
JOBS = Path(__file__).resolve().parents[2] / "docs" / "JOBS.md"


@pytest.fixture(scope="module")
def image(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image in all that a mock run looks at: the interpreter, the sources of this checkout, the job's packages."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "app").mkdir()
    (folder / "python" / "bin").mkdir(parents=True)
    (folder / "python" / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    (folder / "app" / "boot.py").write_bytes((root / "enclave" / "boot.py").read_bytes())
    (folder / "app" / "sealroom").symlink_to(root / "sealroom")
    (folder / "job").symlink_to(Path(np.__file__).resolve().parents[1])
    return folder


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return agreement_json({name: Member.make(name) for name in ("bank", "partner", "operator")})


@pytest.fixture
def agreement_file(document: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "agreement.json"
    path.write_text(json.dumps(document))
    return path


def job(folder: Path, source: str) -> Path:
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps(MANIFEST))
    (folder / "job.py").write_text(source)
    return folder


def read(document: dict[str, Any]) -> Agreement:
    return consistency.check(schema.decode(Agreement, document))


def page_session() -> tuple[str, str]:
    """The job and the session that docs/JOBS.md shows."""
    text = JOBS.read_text("utf-8")
    block = re.search(r"<!-- mock session -->\n```python\n(.*?)```\n.*?```text\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block[1], block[2]


def without_numbers(text: str) -> str:
    """What does not depend on the machine: words and order, no digits, no marks below a traceback's lines."""
    text = re.sub(r"(?m)^ *\|[ ~^]*\n", "", text)
    return re.sub(r"[0-9][0-9,.]*", "N", text).replace("memory not measured", "memory N of N MiB")


def test_the_session_on_the_page_is_what_the_command_says(
    image: Path, agreement_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    source, session = page_session()
    folder = job(tmp_path / "careless", source)
    code = program.outcome(["mock", str(folder), "--agreement", str(agreement_file), "--image", str(image)])
    said = capfd.readouterr()
    assert code == 3
    assert without_numbers(said.out) == without_numbers(session)
    assert "making up rows" in said.err


def test_a_good_job_ends_with_zero_and_answers_in_json(
    image: Path, agreement_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    source = "def run(tables, ask): return list(range(ask.size))"
    archive = tmp_path / "good.bundle"
    archive.write_bytes(bundle.pack(job(tmp_path / "good", source)))
    arguments = ["mock", str(archive), "--agreement", str(agreement_file), "--image", str(image), "--rows", "600"]
    assert program.outcome([*arguments, "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["format"] == "sealroom/cli/v1"
    assert report["fine"] is True
    assert {rule["rule"] for rule in report["rules"]} == {"quality", "audience"}
    assert set(report["rows"].values()) == {600}


def test_where_no_bundle_is_agreed_no_code_runs(
    document: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    path = tmp_path / "overlap.json"
    path.write_text(json.dumps(document | {"bundles": [], "rules": document["rules"][:1]}))
    assert program.outcome(["mock", "--agreement", str(path)]) == 0
    assert "no code runs" in capfd.readouterr().out


def test_the_bundle_must_be_named_and_the_image_must_be_one(
    agreement_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert program.outcome(["mock", "--agreement", str(agreement_file)]) == 2
    folder = job(tmp_path / "j", "def run(t, a): ...")
    arguments = ["mock", str(folder), "--agreement", str(agreement_file), "--image", str(tmp_path)]
    assert program.outcome(arguments) == 2
    assert "not an image for the process launcher" in capfd.readouterr().err


def test_the_lane_says_which_bundle_is_meant(document: dict[str, Any], tmp_path: Path):
    archive = bundle.pack(job(tmp_path / "j", "def run(t, a): ..."))
    assert mocking.choose(read(document), archive, None).name == "model"
    assert mocking.choose(read(document), archive, "model").name == "model"
    with pytest.raises(NotAcceptable) as wrong:
        mocking.choose(read(document), archive, "segments")
    assert wrong.value.code == "E3.wrong-lane"
    queries_only = document | {"bundles": document["bundles"][1:], "rules": document["rules"][:2]}
    with pytest.raises(NotAcceptable) as none:
        mocking.choose(read(queries_only), archive, None)
    assert none.value.code == "E3.wrong-lane"
    second = {"name": "model-two", "owner": "bank", "lane": "whole"}
    purse = {"owner": "bank", "population": "model-two", "epsilon": 0, "bits": 0, "runs": 1}
    two = document | {"bundles": [*document["bundles"], second], "purses": [*document["purses"], purse]}
    with pytest.raises(UsageError, match="several bundles"):
        mocking.choose(read(two), archive, None)


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("echo oops >&2; exit 1", Unreachable, "without a report: oops"),
        ("echo '[]'", Unreachable, "is not one"),
        ("""echo '{"error": {"code": "E3.no-jail", "message": "no", "hint": "h"}}'""", NotAcceptable, "no"),
    ],
)
def test_a_program_that_does_not_report_is_an_error(
    script: str, error: type[Exception], words: str, document: dict[str, Any], tmp_path: Path
):
    (tmp_path / "python" / "bin").mkdir(parents=True)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "boot.py").write_text("")
    fake = tmp_path / "python" / "bin" / "python3"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    archive = bundle.build({"bundle.json": json.dumps(MANIFEST).encode(), "job.py": b""})
    with pytest.raises(error, match=words):
        mocking.run(read(document), archive, "model", mocking.Options(tmp_path))


def test_an_order_that_is_none_is_refused_by_the_program_itself(image: Path, tmp_path: Path):
    order = tmp_path / "order"
    order.write_text("{}")
    with order.open("rb") as given:
        ended = subprocess.run(
            [image / "python/bin/python3", "-I", "-S", "-B", image / "app/boot.py", "mock", str(given.fileno())],
            pass_fds=[given.fileno()], capture_output=True, check=True, env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    assert json.loads(ended.stdout)["error"]["code"].startswith("E1.")
