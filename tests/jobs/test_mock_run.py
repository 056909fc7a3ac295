"""Mock runs: an author's code on made-up rows, in real jails, with everything that it says shown."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grimp
import numpy as np
import pytest

from sealroom.client import mocking
from sealroom.enclave import flat
from sealroom.enclave.engine import tables
from sealroom.enclave.mock import made_up, queries
from sealroom.protocol import bundle, consistency, schema
from sealroom.protocol.agreement import Agreement
from tests import tcb
from tests.jail.zygotes import zygote
from tests.parties import Member, agreement_json, with_estimate

ROOT = Path(__file__).resolve().parents[2]
Report = dict[str, Any]
Try = Callable[..., Report]

DRIVER = """
import json, os, sys, tempfile
sys.path[:0] = [{root!r}, {packages!r}]
from sealroom.enclave.jail import layers
os.environ.clear()
os.environ.update(layers.ENVIRONMENT)
from sealroom.enclave.mock import nursery, orders
control = nursery.start()
from sealroom.enclave.mock import play, trials
jails = trials.Jails(control)
for line in sys.stdin:
    with tempfile.TemporaryFile() as file:
        file.write(line.encode())
        file.flush()
        print(json.dumps(play.play(orders.read(file.fileno()), jails)), flush=True)
"""
LEARNS = """
import numpy as np
def run(tables, ask):
    known, asked = tables["labelled"], tables[ask.table]
    age = asked["age"].fillna(0).to_numpy()
    sign = 1 if known.loc[known[ask.label], "age"].mean() > known["age"].mean() else -1
    return sign * age if ask.kind == "scores" else np.argsort(-sign * age, kind="stable")[: ask.size]
"""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    members = {name: Member.make(name) for name in ("bank", "partner", "operator")}
    return agreement_json(members)


@pytest.fixture(scope="module")
def attempt(document: dict[str, Any]) -> Iterator[Try]:
    """Runs orders one after another in one process, so that libraries are imported once."""
    packages = Path(np.__file__).resolve().parents[1]
    script = DRIVER.format(root=str(ROOT), packages=str(packages))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def tried(files: str | dict[str, bytes], name: str = "model", **changes: Any) -> Report:
            archive = archive_of(files)
            assert process.stdin is not None
            assert process.stdout is not None
            order = {
                "format": "sealroom/mock/v1", "agreement": document | changes, "bundle": name,
                "archive": base64.b64encode(archive).decode(), "rows": 400, "seed": 0,
            }  # fmt: skip
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            report: Report = json.loads(process.stdout.readline())
            return report

        yield tried
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def archive_of(files: str | dict[str, bytes]) -> bytes:
    manifest = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
    return bundle.build({"bundle.json": manifest} | ({"job.py": files.encode()} if isinstance(files, str) else files))


def query(segments: str) -> dict[str, bytes]:
    text = '{"format": "sealroom/query/v1", "segments": ' + segments + "}"
    manifest = b'{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}'
    return {"bundle.json": manifest, "query.json": text.encode()}


def only(document: dict[str, Any], *names: str) -> list[Any]:
    return [rule for rule in document["rules"] if rule["name"] in names]


def test_a_good_job_would_release_what_each_of_its_rules_allows(attempt: Try):
    report = attempt(LEARNS)
    assert report["fine"]
    quality, audience = report["rules"]
    assert quality["ask"]["kind"] == "scores"
    assert audience["ask"]["kind"] == "rows"
    assert audience["release"]["what"].startswith(f"{audience['ask']['size']} values of partner_id")
    assert {"seccomp", "landlock-files", "limits", "thread-watch"} <= set(report["layers"])


def test_a_job_sees_features_and_never_an_identifier(attempt: Try):
    for rule in attempt(LEARNS)["rules"]:
        labelled, candidates = rule["ask"]["tables"]
        assert labelled["columns"] == ["age", "job", "outcome"]
        assert candidates["columns"] == ["age", "job"]


def test_time_and_memory_are_measured(attempt: Try):
    source = "import numpy as np\ndef run(tables, ask):\n    np.ones(100 << 17)\n    return list(range(ask.size))\n"
    for rule in attempt(source)["rules"]:
        assert rule["job"]["outcome"] == "ok"
        assert 99 << 20 <= rule["job"]["memory_bytes"] < 200 << 20
        assert rule["job"]["wall_seconds"] > 0


RAISES = """
def run(tables, ask):
    print("about to fail")
    return deeper(tables)

def deeper(tables):
    return tables["nobody"]
"""
FAILURES = {
    "a job that raises": (
        RAISES,
        "error",
        ["about to fail", 'job.py", line 7, in deeper', 'return tables["nobody"]', "KeyError"],
    ),
    "an answer of the wrong size": ("def run(t, ask): return [0] * 3", "bad-output", ["expected", "list of 3 items"]),
    "scores that are not numbers": (
        "import numpy as np\ndef run(t, ask): return np.full(ask.size, np.nan)",
        "bad-output",
        ["a score is not finite", "ndarray of shape"],
    ),
    "a socket": ("import socket\ndef run(t, ask): socket.socket()", "error", ["line 2, in run", "PermissionError"]),
    "a forbidden call": (
        "import ctypes\ndef run(t, ask):\n    print('before')\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
        "killed",
        ["before"],
    ),
    "a package that is not there": (
        "import torch\ndef run(t, ask): return []",
        "import-error",
        ["job.py", "No module named 'torch'"],
    ),
    "an entry that is not there": ("def other(t, ask): return []", "import-error", ["no attribute 'run'"]),
    "too much memory": (
        "import numpy as np\ndef run(t, ask): return np.ones(1 << 31)",
        "out-of-memory",
        ["line 2, in run", "MemoryError"],
    ),
    "processor time": ("def run(t, ask):\n    while True: pass", "out-of-time", ["job.py", "line 2 in run"]),
    "a crash in native code": (
        "import ctypes\ndef run(t, ask): ctypes.string_at(0)",
        "killed",
        ["Segmentation fault", "line 2 in run"],
    ),
    "leaving by itself": ("import sys\ndef run(t, ask): sys.exit(3)", "error", ["SystemExit"]),
}
SHORT = {"memory": 1 << 28, "processor_time": 1, "wall_time": 20}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_told_in_full_with_the_class_that_a_real_run_would_show(
    case: str, attempt: Try, document: dict[str, Any]
):
    source, outcome, told = FAILURES[case]
    report = attempt(source, rules=only(document, "quality"), limits=SHORT)
    (rule,) = report["rules"]
    assert not report["fine"]
    assert (rule["released"], rule["reason"], rule["job"]["outcome"]) == (False, f"job-{outcome}", outcome)
    assert rule["because"]
    assert rule["change"]
    for words in told:
        assert words in rule["job"]["text"]


def test_wall_clock_time_is_a_limit_of_its_own(attempt: Try, document: dict[str, Any]):
    slow = "import time\ndef run(t, ask):\n    print('waiting')\n    time.sleep(60)"
    limits = {"memory": 1 << 28, "processor_time": 60, "wall_time": 1}
    (rule,) = attempt(slow, rules=only(document, "quality"), limits=limits)["rules"]
    assert rule["job"]["outcome"] == "out-of-time"
    assert "waiting" in rule["job"]["text"]


def test_outcomes_are_those_of_the_real_zygote(attempt: Try, document: dict[str, Any]):
    """The column `n` and the table `t` of the other fixture are not used by these jobs."""
    with zygote() as real:
        for source, outcome, _ in FAILURES.values():
            limits = {"memory_bytes": 1 << 28, "cpu_seconds": 1, "wall_seconds": 20}
            assert real.job(source, kind="scores", size=10, limits=limits)[0] == outcome


def test_a_talkative_job_is_heard_to_its_end_and_not_all(attempt: Try, document: dict[str, Any]):
    source = (
        "def run(t, ask):\n    for i in range(40000): print('line', i)\n    print('\\x1b[2J last')\n    raise OSError"
    )
    (rule,) = attempt(source, rules=only(document, "quality"))["rules"]
    text = rule["job"]["text"]
    assert text.startswith("[the beginning is left out]")
    assert len(text) < 80_000
    assert "\\x1b[2J last" in text
    assert "OSError" in text


def test_floors_on_people_are_said_and_not_judged(attempt: Try, document: dict[str, Any]):
    rules = [rule | {"floor": 2000, "least_seed": 1000} for rule in only(document, "audience")]
    (rule,) = attempt(LEARNS, rules=rules)["rules"]
    assert rule["released"]
    assert "2000 ids and 1000 positive people" in rule["notes"][0]


def test_a_good_query_would_release_its_cells_without_a_jail(attempt: Try):
    segments = '[{"label": "rich", "when": [["customers.balance", ">=", 1000]]}, {"label": "other", "when": []}]'
    report = attempt(query(segments), "segments")
    (rule,) = report["rules"]
    assert report["fine"]
    assert rule["job"] is None
    assert report["layers"] == []
    assert rule["release"]["what"].startswith("a table of 6 cells")


QUERIES = {
    "not JSON": ("[", "bad-query", "query.json is not JSON"),
    "an undeclared label": (
        '[{"label": "poor", "when": []}]',
        "undeclared-label",
        "segment 1: the label 'poor' is not declared",
    ),
    "no segments": ("[]", "bad-query", "`segments` must be a list"),
    "a segment that is none": ('[{"label": "rich"}]', "bad-query", "segment 1: a segment is"),
    "an identifier": (
        '[{"label": "rich", "when": [["customers.email", "=", "x"]]}]',
        "bad-query",
        "no column 'customers.email'",
    ),
    "an operator for numbers": (
        '[{"label": "rich", "when": []}, {"label": "rich", "when": [["prospects.job", "<", "admin"]]}]',
        "bad-query",
        "segment 2: condition 1: '<' does not fit the category column prospects.job",
    ),
    "an undeclared value": (
        '[{"label": "rich", "when": [["prospects.job", "=", "boss"]]}]',
        "bad-query",
        "declared are admin, retired, student",
    ),
    "a number with a point": (
        '[{"label": "rich", "when": [["customers.balance", ">", 1.5]]}]',
        "bad-query",
        "only whole numbers",
    ),
    "a condition of two": (
        '[{"label": "rich", "when": [["customers.balance", ">"]]}]',
        "bad-query",
        "condition 1: a condition is",
    ),
    "conditions that are none": ('[{"label": "rich", "when": 7}]', "bad-query", "`when` must be a list"),
    "a key twice": ('[{"label": "rich", "when": [], "when": []}]', "bad-query", "a key stands there twice"),
    "another format": ('[], "more": 1', "bad-query", "have no other members"),
}


@pytest.mark.parametrize("case", QUERIES)
def test_a_bad_query_is_explained_to_the_condition(case: str, attempt: Try):
    segments, reason, told = QUERIES[case]
    (rule,) = attempt(query(segments), "segments")["rules"]
    assert rule["reason"] == reason
    assert told in rule["because"]


def test_a_query_that_the_engine_takes_needs_no_explanation():
    text = '{"format": "sealroom/query/v1", "segments": [{"label": "a", "when": []}]}'
    assert queries.explain(text, {}, ("a",)) is None


def test_made_up_rows_fit_the_agreement_and_overlap(document: dict[str, Any]):
    agreement = consistency.check(schema.decode(Agreement, document))
    made = made_up.tables(agreement, rows=1000, seed=3)
    assert made == made_up.tables(agreement, rows=1000, seed=3)
    assert made != made_up.tables(agreement, rows=1000, seed=4)
    loaded = {name: tables.load(agreement.dataset(name), data) for name, data in made.items()}
    emails = [set(table.column("email").text()) for table in loaded.values()]
    assert len(emails[0] & emails[1]) == 600
    assert [table.rows for table in loaded.values()] == [1000, 1000]
    balance = loaded["customers"].column("balance")
    assert 0 < int((balance.validity == 0).sum()) < 100


def test_every_type_of_column_can_be_made_up(document: dict[str, Any]):
    kinds = ("int", "float", "bool", "text")
    extra = [{"name": f"a_{kind}", "type": kind, "identifier": None, "values": None} for kind in kinds]
    names = ("national_id", "full_name", "date_of_birth", "postcode")
    extra += [{"name": f"b_{kind}", "type": "text", "identifier": kind, "values": None} for kind in names]
    changed = json.loads(json.dumps(document))
    changed["datasets"][0]["columns"] += extra
    agreement = schema.decode(Agreement, changed)
    table = flat.validate(made_up.tables(agreement, rows=200, seed=0)["customers"])
    assert {column.kind for column in table.columns} == {*kinds, "category"}


def test_nothing_that_real_runs_use_can_reach_the_mock_run():
    graph: grimp.ImportGraph = tcb.graph()
    for root in ("sealroom.enclave.gate", "sealroom.enclave.jail", "sealroom.enclave.engine", "sealroom.enclave"):
        inside = {m for m in graph.modules if m == root or m.startswith(f"{root}.")}
        inside = {m for m in inside if not m.startswith("sealroom.enclave.mock")}
        reached = set().union(*(graph.find_upstream_modules(m) for m in inside))
        assert not {m for m in reached if m.startswith("sealroom.enclave.mock")}


def test_the_mock_run_reaches_no_key():
    graph: grimp.ImportGraph = tcb.graph()
    mock = {m for m in graph.modules if m.startswith("sealroom.enclave.mock")}
    reached = set().union(*(graph.find_upstream_modules(m) for m in mock))
    assert not reached & {"cryptography", "nacl", "rfc8785", "sealroom.protocol.keys", "sealroom.protocol.sealed"}
    assert not {m for m in reached if m.startswith(("sealroom.enclave.gate", "sealroom.attestation"))}


def test_too_few_made_up_rows_are_not_held_against_the_bundle(attempt: Try, document: dict[str, Any]):
    datasets = [dataset | {"most_rows": 60} for dataset in document["datasets"]]
    (rule,) = attempt(LEARNS, rules=only(document, "quality"), datasets=datasets)["rules"]
    assert rule["reason"] == "too-few"
    assert rule["job"] is None
    assert "--rows" in rule["change"]


BLOCKS = b'{"format":"sealroom/bundle/v1","lane":"blocks","entry":"job:run"}'
SLOPES = """
def run(tables, ask):
    block = tables["block"]
    print("a block of", len(block), list(block.columns))
    if block["prospects.age"].isna().any():
        raise ValueError("an age is missing")
    return [0.1, 5]
"""


@pytest.mark.slow
def test_a_job_over_blocks_is_tried_on_every_block_and_the_first_that_fails_is_shown(
    attempt: Try, document: dict[str, Any]
):
    changed = with_estimate(document, block_milliseconds=4000)
    changes = {key: changed[key] for key in ("bundles", "purses", "rules")}
    changes["limits"] = document["limits"] | {"wall_time": 900}
    report = attempt({"bundle.json": BLOCKS, "job.py": SLOPES.encode()}, "fit", **changes)
    (rule,) = report["rules"]
    assert (report["lane"], rule["type"], rule["released"], report["fine"]) == ("blocks", "vector_estimate", True, True)
    assert (rule["ask"]["kind"], rule["ask"]["size"], rule["ask"]["blocks"]) == ("vector", 2, 200)
    assert rule["ask"]["tables"][0]["columns"] == ["customers.y", "prospects.age"]
    assert "ValueError: an age is missing" in rule["job"]["text"]
    assert "a block of" in rule["job"]["text"]
    missed = int(rule["notes"][0].split(" of 200 blocks gave no vector")[0])
    assert 0 < missed < 100
    made_up = {item["name"]: item["millionths"] for item in json.loads(rule["release"]["made_up"])["estimate"]}
    assert set(made_up) == {"age", "level"}
    assert rule["release"]["what"].startswith("2 numbers with noise to bank")
    shown = mocking.text(report, consistency.check(schema.decode(Agreement, document | changes)))
    assert "asked for 2 numbers of block, once for each of 200 blocks; shown is one; it saw block" in shown
    assert "of 4 s" in shown


@pytest.mark.slow
def test_a_job_that_says_nothing_of_any_block_is_not_fine(attempt: Try, document: dict[str, Any]):
    changed = with_estimate(document)
    changes = {key: changed[key] for key in ("bundles", "purses", "rules")}
    report = attempt({"bundle.json": BLOCKS, "job.py": b"import torch\n"}, "fit", **changes)
    (rule,) = report["rules"]
    assert (rule["released"], rule["empty"], report["fine"]) == (True, True, False)
    assert rule["notes"][0].startswith("200 of 200 blocks gave no vector")
    assert "--rows" in rule["notes"][1]
    shown = mocking.text(report, consistency.check(schema.decode(Agreement, document | changes)))
    assert "Not fine: no block of drivers says anything" in shown
