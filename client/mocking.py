"""A mock run: the image's own mock program, started on this machine with made-up rows, and its report in plain words.

Runs in: a bundle's author, on its own code.   Believes: the image that it was told to use.   Reference: docs/JOBS.md.

Nothing is sent: the program gets the packed bundle and the agreement in a memory file and answers on its standard
output.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sealroom.client.errors import Unreachable
from sealroom.protocol import bundle, schema
from sealroom.protocol.agreement import Agreement, Bundle, objects_of
from sealroom.protocol.errors import NotAcceptable, UsageError

PYTHON = "python/bin/python3"
BOOT = "app/boot.py"
DEFAULT_ROWS = 2000
NO_CODE = "no code runs under this agreement: the enclave itself links and counts, and there is nothing to try"
_FORMAT = "sealroom/mock/v1"
_MOST_REPORT = 64 << 20
_START_SECONDS = 600
_MIB = 1 << 20
_SHOWN_LINES = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Where the image is, how many rows a table has at most, and what they are drawn from."""

    image: Path
    rows: int = DEFAULT_ROWS
    seed: int = 0


def choose(agreement: Agreement, archive: bytes, name: str | None) -> Bundle:
    """The bundle of the agreement that an archive would be sealed as.

    Raises:
        UsageError: there is no such bundle, or several could be meant.
        NotAcceptable: the archive runs in another lane than agreed.
        Malformed: the archive is none.
    """
    lane = bundle.read(archive).manifest.lane
    if name is not None:
        chosen = agreement.bundle(name)
        if chosen.lane != lane:
            raise NotAcceptable("wrong-lane", f"the bundle runs in the lane {lane!r}; agreed is {chosen.lane!r}")
        return chosen
    fitting = [item for item in agreement.bundles if item.lane == lane]
    if not fitting:
        agreed = ", ".join(f"{item.name} ({item.lane})" for item in agreement.bundles)
        raise NotAcceptable("wrong-lane", f"the bundle runs in the lane {lane!r}; agreed is {agreed}")
    if len(fitting) > 1:
        names = ", ".join(item.name for item in fitting)
        raise UsageError("the agreement has several bundles of this lane", hint=f"say which with `--as`: {names}")
    return fitting[0]


def run(agreement: Agreement, archive: bytes, name: str, options: Options) -> dict[str, Any]:
    """The report of the image's mock program.

    Raises:
        UsageError: the image cannot be run on this machine.
        NotAcceptable: the program refused, for example because this kernel cannot confine a jail.
        Unreachable: it did not answer.
    """
    order = {
        "format": _FORMAT, "agreement": schema.encode(agreement), "bundle": name,
        "archive": base64.b64encode(archive).decode(), "rows": options.rows, "seed": options.seed,
    }  # fmt: skip
    rules = sum(name in objects_of(agreement, rule) for rule in agreement.rules)
    report = _answer(options.image, json.dumps(order).encode(), _START_SECONDS + rules * agreement.limits.wall_time)
    if (error := report.get("error")) is not None:
        code = str(error["code"]).partition(".")[2] or "mock"
        raise NotAcceptable(code, str(error["message"]), hint=str(error["hint"]))
    return report


def _answer(image: Path, order: bytes, seconds: int) -> dict[str, Any]:
    program, boot = image.resolve() / PYTHON, image.resolve() / BOOT
    if not program.is_file() or not boot.is_file():
        hint = "build one: `make image`, or `python -m sealroom.host.image build --out build/image`"
        raise UsageError(f"{image} is not an image for the process launcher", hint=hint)
    with _in_memory(order) as given, tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        command = [str(program), "-I", "-S", "-B", str(boot), "mock", str(given.fileno())]
        try:
            subprocess.run(
                command, pass_fds=(given.fileno(),), stdin=subprocess.DEVNULL, stdout=said, stderr=told,
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Unreachable("the mock run did not end in time") from error
        except OSError as error:
            raise Unreachable(f"cannot run {program}: {(error.strerror or 'it failed').lower()}") from error
        return _report(_content(said), _content(told))


def _in_memory(data: bytes) -> IO[bytes]:
    """A file that never reaches a disk, since the code is hidden."""
    file = os.fdopen(os.memfd_create("order", os.MFD_CLOEXEC), "w+b")
    file.write(data)
    file.flush()
    return file


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MOST_REPORT)


def _report(said: bytes, told: bytes) -> dict[str, Any]:
    try:
        report = json.loads(said)
    except ValueError as error:
        last = told.decode("utf-8", "backslashreplace").strip().splitlines()[-1:] or ["it said nothing"]
        raise Unreachable(f"the mock program ended without a report: {last[0][:300]}") from error
    if not isinstance(report, dict):
        raise Unreachable("the mock program's report is not one")
    return report


def text(report: Mapping[str, Any], agreement: Agreement) -> str:
    """The report for people."""
    lines = [f"Mock run of {report['bundle']} (lane {report['lane']}) on made-up rows, seed {report['seed']}", ""]
    for name, rows in report["rows"].items():
        lines.append(f"  {name}: {rows:,} rows made up, up to {report['most_rows'][name]:,} agreed")
    for rule in report["rules"]:
        lines += ["", *_rule(rule, agreement)]
    if not report["rules"]:
        lines += ["", "  No rule of the agreement runs this bundle."]
    lines += ["", _verdict(report)]
    return "\n".join(lines)


def _verdict(report: Mapping[str, Any]) -> str:
    held = [rule["rule"] for rule in report["rules"] if not rule["released"]]
    if held:
        return f"Not fine: {', '.join(held)} would give nothing."
    if empty := [rule["rule"] for rule in report["rules"] if rule["empty"]]:
        return f"Not fine: no block of {', '.join(empty)} says anything; what leaves would be noise around the middle."
    return "All fine. A real run shows none of the job's own words: of a failure you would learn one word."


def _rule(rule: Mapping[str, Any], agreement: Agreement) -> Iterator[str]:
    yield f"{rule['rule']} ({rule['type']})"
    if rule["ask"] is not None:
        yield from _asked(rule["ask"])
    if rule["job"] is not None:
        yield from _job(rule["job"], agreement, rule["ask"].get("milliseconds"))
    if rule["released"]:
        release = rule["release"]
        yield f"  would release {release['what']}; padded to {release['padded_bytes']:,} bytes"
    else:
        yield f"  would be withheld ({rule['reason']}) because {rule['because']}"
        yield f"  change: {rule['change']}"
    for note in rule["notes"]:
        yield f"  note: {note}"


def _asked(ask: Mapping[str, Any]) -> Iterator[str]:
    kind = {"rows": "row positions", "scores": "scores", "vector": "numbers"}[ask["kind"]]
    wanted = f"{ask['size']:,} {kind}"
    seen = ", ".join(f"{t['name']} ({t['rows']:,} rows, {len(t['columns'])} columns)" for t in ask["tables"])
    often = f", once for each of {ask['blocks']} blocks; shown is one" if ask["kind"] == "vector" else ""
    yield f"  asked for {wanted} of {ask['table']}{often}; it saw {seen}; label {ask['label']}"


def _job(job: Mapping[str, Any], agreement: Agreement, milliseconds: int | None) -> Iterator[str]:
    limits, used = agreement.limits, job["memory_bytes"]
    wall = limits.wall_time if milliseconds is None else milliseconds / 1000
    memory = "memory not measured" if used is None else f"memory {used // _MIB:,} of {limits.memory // _MIB:,} MiB"
    yield (
        f"  outcome {job['outcome']}; processor {job['cpu_seconds']:.2f} of {limits.processor_time} s, "
        f"clock {job['wall_seconds']:.2f} of {wall:g} s, {memory}"
    )
    said = job["text"].rstrip("\n").splitlines()
    if said:
        yield "  the job said (nobody would hear it in a real run):"
        if len(said) > _SHOWN_LINES:
            yield f"    | ... {len(said) - _SHOWN_LINES} lines before"
        yield from (f"    | {line}" for line in said[-_SHOWN_LINES:])
