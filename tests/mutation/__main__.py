"""Changes the code that guards keys, one small change at a time, and counts how many changes the tests notice.

`python -m tests.mutation [--record] [UNIT ...]`: mutmut works on a copy under build/mutation, where the folders of the
checkout stand in their package for real; it runs, per changed function, the tests of the unit that reach it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.mutation import judge, results
from tests.mutation.units import UNITS, Unit

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "mutation"
PACKAGES = ("protocol", "attestation", "enclave", "host", "client", "jobs")
KILLED, SURVIVED, UNTESTED = {1, 3, -24, 24, 36, -9, 255, 152, -11}, {0}, {5, 33}
"""Exit codes of mutmut's children: tests failed or the child was ended; all passed; no test reaches the function."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    known = results.load()
    failed = 0
    for unit in (u for u in UNITS if not options.units or u.module in options.units):
        stage(unit)
        found = run(unit)
        good = found["mutants"] > 0 and results.score(found) >= results.WANTED
        failed += not good
        sys.stdout.write(f"{'ok  ' if good else 'FAIL'} {unit.module}: {results.line(found)}\n")
        known[unit.module] = found
        if options.record:
            results.save(known)
    sys.stdout.write(f"{len(options.units or UNITS) - failed} passed, {failed} failed\n")
    return 1 if failed else 0


def stage(unit: Unit) -> None:
    """The copy that mutmut works on, with this unit's module and tests in its settings."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "sealroom").mkdir(parents=True)
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, WORK / "sealroom" / package, ignore=skipped)
    shutil.copy(ROOT / "sealroom" / "__init__.py", WORK / "sealroom" / "__init__.py")
    shutil.copytree(ROOT / "tests", WORK / "tests", ignore=skipped)
    warnings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    settings = {
        "source_paths": ["sealroom"], "only_mutate": [f"sealroom/{unit.module}"], "also_copy": ["tests"],
        "pytest_add_cli_args": ["-q", "-p", "no:randomly", "-p", "no:schemathesis", "-p", "no:cacheprovider", "-x"],
        "pytest_add_cli_args_test_selection": list(unit.tests), "track_dependencies": False,
        "use_git_change_detection": False,
    }  # fmt: skip
    pytest = {name: warnings[name] for name in ("markers", "filterwarnings")}
    pytest["addopts"] = ["--import-mode=importlib"]
    lines = ["[tool.mutmut]", *(f"{k} = {json.dumps(v)}" for k, v in settings.items())]
    lines += ["[tool.pytest.ini_options]", *(f"{k} = {json.dumps(v)}" for k, v in pytest.items())]
    (WORK / "pyproject.toml").write_text("\n".join(lines) + "\n", "utf-8")


def run(unit: Unit) -> dict[str, Any]:
    """Mutate one module; what became of every mutant."""
    log = WORK / "log"
    with log.open("wb") as out:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "SEALROOM_MUTATION": "1"}
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", "2"]
        ended = subprocess.run(command, cwd=WORK, stdout=out, stderr=out, env=environment, check=False)
    meta = WORK / "mutants" / "sealroom" / f"{unit.module}.meta"
    if not meta.exists():
        sys.stdout.write(log.read_text("utf-8", "replace")[-3000:])
        raise SystemExit(f"mutmut made no mutants of {unit.module} (it ended with {ended.returncode})")
    codes = json.loads(meta.read_bytes())["exit_code_by_key"]
    source = (WORK / "mutants" / "sealroom" / unit.module).read_text("utf-8")
    killed = [name for name, code in codes.items() if code in KILLED]
    left = [name for name in codes if name not in killed]
    survivors = [judge.survivor(source, name, untested=codes[name] in UNTESTED) for name in left]
    unclear = sorted({code for code in codes.values() if code not in KILLED | SURVIVED | UNTESTED}, key=str)
    if unclear:
        sys.stdout.write(f"{unit.module}: exit codes {unclear} are counted as survivors\n")
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(), "mutants": len(codes), "killed": len(killed),
        "survivors": sorted(survivors, key=lambda s: (s["function"], s["change"])),
    }  # fmt: skip


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--record", action="store_true", help="write tests/mutation/results.json")
    parser.add_argument("units", nargs="*", help="modules, such as client/grants.py; all, if none is given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
