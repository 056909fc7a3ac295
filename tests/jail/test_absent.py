"""What only jobs use is imported where there are jobs, and by no library of its own accord."""

from __future__ import annotations

import json
import subprocess
import sys

from sealroom.enclave import flat
from sealroom.enclave.jail import absent, libraries
from tests.jail.test_reader import dataset
from tests.jail.zygotes import ROOT, zygote

SAY = "import json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def imported(source: str) -> set[str]:
    """Top-level modules of a fresh interpreter that ran `source`."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{source}\n{SAY}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_an_engine_that_has_done_a_little_of_everything_has_not_imported_what_only_jobs_use() -> None:
    found = imported(
        "import os; from sealroom.enclave.jail import absent, layers\n"
        "absent.leave_out(absent.OF_JOBS)\n"
        "from sealroom.enclave.engine import service\n"
        "service.Engine(None).warm_up()"
    )
    assert not found & absent.OF_JOBS
    assert found >= {"numpy", "pyarrow", "duckdb", "opendp"}


def test_a_zygote_imports_for_readers_first_and_for_jobs_when_told() -> None:
    start = "from sealroom.enclave.jail import zygote\nzygote.prepare()"
    assert not imported(start) & absent.OF_JOBS
    assert imported(f"{start}\nzygote.prepare_jobs()") >= absent.OF_JOBS


def test_what_is_left_out_is_as_if_it_were_not_installed() -> None:
    found = imported(
        "from sealroom.enclave.jail import absent\n"
        "absent.leave_out(frozenset({'csv'}))\n"
        "try:\n    import csv\nexcept ModuleNotFoundError as error:\n    assert error.name == 'csv'\n"
        "else:\n    raise AssertionError"
    )
    assert "csv" not in found


def test_a_zygote_reads_alike_before_and_after_it_was_told_of_jobs() -> None:
    payload = b'i,f,b,t,c\n1,2.5,true,a,p\n,x,,"",z\n'
    with zygote() as jailer:
        first = jailer.read(dataset(), payload, "csv")
        assert jailer.job("def run(tables, ask):\n    return [0, 1]\n")[0] == "ok"
        assert jailer.read(dataset(), payload, "csv") == first
    assert first[0] == "ok"
    assert flat.validate(first[1]).rows == 2


def test_everything_that_readers_import_is_no_more_than_jobs_find() -> None:
    assert {name.partition(".")[0] for name in libraries.READERS} <= {
        name.partition(".")[0] for name in libraries.MODULES
    }
