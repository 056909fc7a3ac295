"""Blocks in real jails: each by itself, for its whole time, and whatever becomes of it is only seen in its output."""

from __future__ import annotations

import math
import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.jail import output, requests, waves
from sealroom.protocol.errors import Malformed, NotReleased
from tests.jail.zygotes import LIMITS, Zygote, zygote

BOX = np.array([[-1.0, 1.0], [0.0, 2.0]])
TOGETHER = min(2, len(os.sched_getaffinity(0)))
"""As many blocks as this machine has processors for, at most two."""


def table(*numbers: int) -> list[flat.Column]:
    return [flat.int_column("n", np.array(numbers, dtype=np.int64))]


def one(jailer: Zygote, source: str, **changes: object) -> bytes:
    return jailer.blocks(source, [table(1, 2, 3)], **changes)[0]  # type: ignore[arg-type]


def nothing(data: bytes) -> bool:
    """Whether the engine would take the middle of the box."""
    try:
        output.read_vector(data, BOX)
    except NotReleased:
        return True
    return False


def test_each_block_is_asked_for_a_vector_of_its_own(jailer: Zygote) -> None:
    source = "def run(tables, ask):\n    return [tables['block'].n.mean() / 10, len(tables[ask.table]) / 10]\n"
    found = jailer.blocks(source, [table(*range(size)) for size in (5, 8)[:TOGETHER]])
    vectors = [output.read_vector(data, BOX).tolist() for data in found]
    assert vectors == [[0.2, 0.5], [0.35, 0.8]][:TOGETHER]


def test_a_block_sees_the_question_and_nothing_says_which_block_it_is(jailer: Zygote) -> None:
    source = (
        "def run(tables, ask):\n"
        "    assert list(tables) == ['block'] and ask.table == 'block'\n"
        "    assert (ask.kind, ask.size, ask.names, ask.seed) == ('vector', 2, ('c0', 'c1'), 7)\n"
        "    assert (ask.least, ask.most, ask.label, ask.positive) == ((-1.0, 0.0), (1.0, 2.0), None, None)\n"
        "    assert set(ask.__slots__) == set('kind table size label positive seed names least most'.split())\n"
        "    return [0.5, 0.25]\n"
    )
    assert output.read_vector(one(jailer, source), BOX).tolist() == [0.5, 0.25]


def test_an_empty_block_is_a_block(jailer: Zygote) -> None:
    [data] = jailer.blocks("def run(t, a): return [len(t['block']), 1]", [table()])
    assert output.read_vector(data, BOX).tolist() == [0.0, 1.0]


THREADS = """
import threading, time
def run(t, a):
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
    time.sleep(0.5)
    return [0, 0]
"""
OUTSIDE = """
import numpy as np
from sealroom.enclave.jail import harness
def run(t, a):
    harness.check = lambda *_: np.array([1e9, 0.0])
"""
POSITIONS = """
from sealroom.enclave.jail import harness, output
harness._KINDS["vector"] = output.ROWS
def run(t, a): return [0, 0]
"""
MIDDLES = [
    ("it raises", "def run(t, a): raise ValueError"),
    ("it leaves", "import os\ndef run(t, a): os._exit(0)"),
    ("it cannot be loaded", "import torch\ndef run(t, a): return [0, 0]"),
    ("it says that it is no number", "def run(t, a): return [0.0, float('nan')]"),
    ("it says that it is endless", "def run(t, a): return [0.0, float('inf')]"),
    ("it says too much", "def run(t, a): return [0.0] * 3"),
    ("it says too little", "def run(t, a): return [0.0]"),
    ("it says a table", "def run(t, a): return [[0.0, 0.0]]"),
    ("it says texts", "def run(t, a): return ['0', '0']"),
    ("it says truths", "def run(t, a): return [True, False]"),
    ("it says nothing", "def run(t, a): return None"),
    ("its answer bites", "class B:\n  def __array__(self, *a, **k): raise SystemExit\ndef run(t, a): return B()"),
    ("it takes too much memory", "def run(t, a): return bytearray(1 << 32)"),
    ("its native code crashes", "import ctypes\ndef run(t, a): return ctypes.string_at(0)"),
    ("it does what no job may", "import ctypes\ndef run(t, a): ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n"),
    ("it never returns", "def run(t, a):\n  while True: pass"),
    ("it never wakes", "import time\ndef run(t, a): time.sleep(99)"),
    ("it has more threads than it may", THREADS),
    ("it writes outside the box past the harness", OUTSIDE),
    ("it writes positions where a vector is due", POSITIONS),
]  # fmt: skip


@pytest.mark.parametrize("source", [case[1] for case in MIDDLES], ids=[case[0] for case in MIDDLES])
def test_a_block_that_gives_no_vector_within_the_box_leaves_nothing_to_read(jailer: Zygote, source: str) -> None:
    assert nothing(one(jailer, source))


def test_a_number_outside_its_bounds_is_brought_back_to_them(jailer: Zygote) -> None:
    data = one(jailer, "def run(t, a): return [-7, 1e300]")
    assert output.read_vector(data, BOX).tolist() == [-1.0, 2.0]


def test_a_bundle_of_another_lane_is_not_run(jailer: Zygote) -> None:
    assert nothing(one(jailer, "def run(t, a): return [0, 0]", lane=b"whole"))
    manifest = b'{"format":"sealroom/bundle/v1","lane":"blocks","entry":"job:run"}'
    files = {"bundle.json": manifest, "job.py": b"def run(t, a): return [0, 1]"}
    assert jailer.job(files)[0] == "import-error"


REMEMBERS = """
import builtins, gc, os, sys, tempfile
def run(tables, ask):
    found = 0
    for place in (builtins, sys, os):
        found += hasattr(place, "seen_before")
        place.seen_before = True
    for path in ("/dev/shm/seen", "/tmp/seen", "/var/tmp/seen", "seen"):
        try:
            found += os.path.exists(path)
            open(path, "w").close()
        except OSError:
            pass
    try:
        found += bool(os.listxattr("/dev/shm"))
    except OSError:
        pass
    found += "SEEN" in os.environ
    os.environ["SEEN"] = "1"
    return [min(found, 1), 1]
"""


def test_a_block_remembers_nothing_of_those_before(jailer: Zygote) -> None:
    for _ in range(2):
        for data in jailer.blocks(REMEMBERS, [table(1)] * TOGETHER):
            assert output.read_vector(data, BOX).tolist() == [0.0, 1.0]


def test_a_block_has_one_processor_and_cannot_choose_another(jailer: Zygote) -> None:
    source = (
        "import os\ndef run(t, a):\n  try: os.sched_setaffinity(0, range(64))\n  except OSError: pass\n"
        "  return [len(os.sched_getaffinity(0)) == 1 and 1.0, min(os.sched_getaffinity(0)) % 2 + 0.0]\n"
    )
    found = [output.read_vector(data, BOX).tolist() for data in jailer.blocks(source, [table(1)] * TOGETHER)]
    assert [vector[0] for vector in found] == [1.0] * TOGETHER


@pytest.mark.parametrize(
    "source", ["def run(t, a): return [0, 0]", "raise SystemExit", "def run(t, a):\n  while True: pass"]
)
def test_a_wave_lasts_its_whole_time(jailer: Zygote, source: str) -> None:
    began = time.monotonic()
    one(jailer, source, milliseconds=700)
    assert time.monotonic() - began >= 0.7


TELLS = """
import time
PERIOD = 2.0
def run(tables, ask):
    if tables[ask.table].n[0] < 2:  # the sender: ends at the beginning of a period or in its middle
        moment = PERIOD / 2 * int(tables[ask.table].n[0])
        time.sleep((moment - time.monotonic()) % PERIOD)
        return [0.0] * ask.size
    half = PERIOD / 2  # the receiver: in which half of a period was it started
    return [float(time.monotonic() % PERIOD >= half)] * ask.size
"""


def what_is_heard(jailer: Zygote) -> dict[str, list[float]]:
    """What a receiver says after a sender of 0 and after one of 1: between plain jobs, and between blocks."""
    heard: dict[str, list[float]] = {"jobs": [], "blocks": []}
    for bit in (0, 1):
        for number in (bit, 2):
            outcome, data = jailer.job(TELLS, kind="scores", size=0, count=1, columns=table(number))
            assert outcome == "ok"
        heard["jobs"].append(output.read_scores(data, 1)[0])
    for bit in (0, 1):
        for number in (bit, 2):
            [data] = jailer.blocks(TELLS, [table(number)], milliseconds=1900)
        heard["blocks"].append(output.read_vector(data, BOX)[1])
    return heard


@pytest.mark.slow
def test_a_job_that_chooses_when_it_ends_tells_the_next_one_and_a_block_does_not(jailer: Zygote) -> None:
    # A machine that stands still for a second can make either wrong once; blocks that could tell would do so each time.
    assert any(what_is_heard(jailer) == {"jobs": [0.0, 1.0], "blocks": [0.0, 0.0]} for _ in range(3))


@given(st.floats(0, 1e9), st.integers(1, 60_000))
def test_the_next_start_depends_on_the_clock_and_the_period_alone(now: float, milliseconds: int) -> None:
    period = milliseconds / 1000
    start = waves.next_start(now, period)
    assert now - 1e-6 <= start <= now + period + 1e-6
    assert math.isclose(start / period, round(start / period), abs_tol=1e-6)


def test_a_limit_that_is_none_ends_the_zygote() -> None:
    with zygote() as started:
        with pytest.raises(EOFError):
            started.blocks(
                "def run(t, a): return [0, 0]", [table(1)], limits={"memory_bytes": 1 << 39, "cpu_seconds": 0}
            )
        assert started.process.wait(30) != 0


def test_more_blocks_than_processors_are_refused() -> None:
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})  # the zygote inherits it: one processor, whatever this machine has
    try:
        with zygote() as started:
            with pytest.raises(EOFError):
                started.blocks("def run(t, a): return [0, 0]", [table(1)] * 2)
            assert started.process.wait(30) != 0
    finally:
        os.sched_setaffinity(0, all_of_them)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_wave_with_half_a_block_ends_the_zygote(count: int) -> None:
    spec = {"table": "block", "coordinates": [{"name": "a", "least": 0, "most": 1}], "seed": 0, "milliseconds": 100}
    with pytest.raises(Malformed) as caught:
        requests.parse({"op": "run", "kind": "blocks", "limits": LIMITS, "spec": spec}, count)
    assert caught.value.code == "E1.wrong-fds"


def test_blocks_end_with_the_gate() -> None:
    with zygote() as started:
        archive = memory.sealed_copy("a", [b""])
        fds = [archive, memory.fixed_output(output.size_of(1)), flat.to_memfd("block", table(1))]
        spec = {
            "table": "block",
            "coordinates": [{"name": "a", "least": 0, "most": 1}],
            "seed": 0,
            "milliseconds": 60_000,
        }
        frames.send(started.control, {"op": "run", "kind": "blocks", "limits": LIMITS, "spec": spec}, fds)
        frames.close_all(fds)
        started.control.shutdown(2)
        assert started.process.wait(30) == 0
