"""Jobs in real jails: what comes out, and how they end."""

from __future__ import annotations

import os
import socket
import time

import numpy as np
import pytest

from sealroom.enclave import flat, frames, memory
from sealroom.enclave.jail import layers, output
from sealroom.protocol import bundle
from tests.jail.zygotes import LIMITS, MANIFEST, Zygote, zygote


def test_the_first_message_names_the_layers_in_force(jailer: Zygote) -> None:
    assert jailer.ready == {"ready": True, "layers": [*layers.available(), *layers.OUTSIDE]}
    assert set(layers.BASE) <= set(jailer.ready["layers"])
    assert set(layers.WHAT) == {*layers.BASE, *layers.DEPTH, *layers.OUTSIDE}


def test_a_job_points_at_rows(jailer: Zygote) -> None:
    source = "def run(tables, ask):\n    return tables[ask.table]['n'].sort_values().index[::-1][: ask.size]\n"
    outcome, data = jailer.job(source, size=3)
    assert outcome == "ok"
    assert output.read_rows(data, 3, 10).tolist() == [9, 8, 7]


def test_a_job_gives_scores(jailer: Zygote) -> None:
    outcome, data = jailer.job("def run(tables, ask):\n    return tables['t'].n / 2\n", kind="scores", size=0, count=10)
    assert outcome == "ok"
    assert output.read_scores(data, 10).tolist() == [n / 2 for n in range(10)]


def test_a_job_sees_the_question_and_the_same_seed_each_time(jailer: Zygote) -> None:
    source = (
        "import random, numpy\n"
        "def run(tables, ask):\n"
        "    assert (ask.kind, ask.table, ask.size, ask.label) == ('rows', 't', 2, 'n')\n"
        "    assert (ask.positive, ask.seed) == ('1', 7)\n"
        "    return random.sample(range(10), 1) + [numpy.random.randint(10, 20)]\n"
    )
    columns = [flat.int_column("n", np.arange(20))]
    first = jailer.job(source, columns=columns)
    assert first[0] == "ok"
    assert jailer.job(source, columns=columns) == first


ENDS = [
    ("it raises", "def run(t, a): raise ValueError", "error"),
    ("it exits", "def run(t, a): raise SystemExit(0)", "error"),
    ("it leaves by a status of its own", "import os\ndef run(t, a): os._exit(77)", "error"),
    ("it leaves as if all were well", "import os\ndef run(t, a): os._exit(0)", "bad-output"),
    ("its module raises", "1 / 0", "import-error"),
    ("it has no such function", "def walk(t, a): return []", "import-error"),
    ("it needs what is not installed", "import torch\ndef run(t, a): return []", "import-error"),
    ("it gives too few", "def run(t, a): return [1]", "bad-output"),
    ("it gives one twice", "def run(t, a): return [1, 1]", "bad-output"),
    ("it points outside", "def run(t, a): return [1, 10]", "bad-output"),
    ("it points before", "def run(t, a): return [1, -1]", "bad-output"),
    ("it gives fractions", "def run(t, a): return [1.0, 2.0]", "bad-output"),
    ("it gives truths", "def run(t, a): return [True, False]", "bad-output"),
    ("it gives texts", "def run(t, a): return ['1', '2']", "bad-output"),
    ("it gives a table", "def run(t, a): return [[1, 2]]", "bad-output"),
    ("it gives nothing", "def run(t, a): return None", "bad-output"),
    (
        "its answer bites",
        "class B:\n  def __array__(self, *a, **k): raise SystemExit\ndef run(t, a): return B()",
        "bad-output",
    ),
    ("it takes too much memory", "def run(t, a): return bytearray(1 << 32)", "out-of-memory"),
    ("it takes it while loading", "x = bytearray(1 << 32)", "out-of-memory"),
    ("its native code crashes", "import ctypes\ndef run(t, a): return ctypes.string_at(0)", "killed"),
    ("it aborts", "import os\ndef run(t, a): os.abort()", "killed"),
]


@pytest.mark.parametrize(("source", "outcome"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_a_job_ends_in_one_of_the_closed_outcomes(jailer: Zygote, source: str, outcome: str) -> None:
    assert jailer.job(source)[0] == outcome


def test_scores_must_be_finite(jailer: Zygote) -> None:
    source = "def run(tables, ask):\n    return [float('nan')] * 10\n"
    assert jailer.job(source, kind="scores", count=10)[0] == "bad-output"


def test_an_output_of_another_size_is_not_written(jailer: Zygote) -> None:
    assert jailer.job("def run(t, a): return [1, 2]", count=5)[0] == "bad-output"


def test_processor_and_wall_clock_time_are_limited(jailer: Zygote) -> None:
    assert jailer.job("def run(t, a):\n  while True: pass", limits={"cpu_seconds": 1})[0] == "out-of-time"
    assert jailer.job("import time\ndef run(t, a): time.sleep(99)", limits={"wall_seconds": 1})[0] == "out-of-time"
    stubborn = "import signal\ndef run(t, a):\n  signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n  while True: pass"
    assert jailer.job(stubborn, limits={"cpu_seconds": 1})[0] == "out-of-time"


def test_a_bundle_imports_its_own_modules_and_reads_its_own_files(jailer: Zygote) -> None:
    files = {
        "job.py": b"import json, pkgutil\nfrom lib.deep import where\nimport lib\n"
        b"def run(t, a): return [where(), json.loads(pkgutil.get_data('job', 'data.json'))['n']]\n",
        "lib/__init__.py": b"NAME = __name__\n",
        "lib/deep.py": b"from . import NAME\ndef where(): return len(NAME)\n",
        "data.json": b'{"n": 5}',
    }
    outcome, data = jailer.job(files)
    assert outcome == "ok"
    assert output.read_rows(data, 2, 10).tolist() == [3, 5]


MODELS = {
    "forest": "RandomForestClassifier(10, n_jobs=2, random_state=0).fit(X, y).predict_proba(X)[:, 1]",
    "boosting": "HistGradientBoostingClassifier(max_iter=5).fit(X, y).predict_proba(X)[:, 1]",
    "clusters": "KMeans(2, n_init=1).fit_predict(X)",
    "logistic": "LogisticRegression().fit(X, y).predict_proba(X)[:, 1]",
    "cross-validation": "cross_val_predict(LogisticRegression(), X, y, cv=3, n_jobs=2)",
    "neighbours": "KNeighborsClassifier(n_jobs=-1).fit(X, y).predict(X)",
    "arrow": "(pa.table({'k': y, 'x': X[:, 0]}).group_by('k').aggregate([('x', 'sum')]), X[:, 0])[1]",
    "time zones": "pd.to_datetime(pd.Series(['2020-01-01'] * len(y))).dt.tz_localize('Europe/Berlin').dt.dayofyear",
    "texts and categories": "T.t.str.upper().str.len() + T.c.cat.codes",
    "changing the frame": "T.assign(x=T.x + 1).x + T.pipe(lambda f: f.__setitem__('x', f.x * 2) or f).x",
}


@pytest.mark.parametrize("model", MODELS)
def test_the_usual_libraries_work_in_a_jail(jailer: Zygote, model: str) -> None:
    source = (
        "import numpy as np, pandas as pd, pyarrow as pa\n"
        "from sklearn.cluster import KMeans\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import cross_val_predict\n"
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "def run(tables, ask):\n"
        "    T = tables['t']\n"
        "    X, y = T[['x', 'z']].to_numpy(), T.y.to_numpy()\n"
        f"    return {MODELS[model]}\n"
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    columns = [
        flat.float_column("x", x),
        flat.float_column("z", rng.normal(size=120)),
        flat.int_column("y", (x > 0).astype(int)),
        flat.text_column("t", ["ab", "é", ""] * 40),
        flat.category_column("c", np.arange(120) % 3, ["p", "q", "r"]),
    ]
    outcome, data = jailer.job(source, kind="scores", count=120, columns=columns)
    assert outcome == "ok"
    assert len(output.read_scores(data, 120)) == 120


def test_a_zygote_that_is_asked_for_something_else_ends() -> None:
    with zygote() as started:
        frames.send(started.control, {"op": "walk"})
        with pytest.raises(EOFError):
            frames.receive(started.control, timeout=60)
        assert started.process.wait(30) == 1


def test_a_zygote_and_its_jail_end_with_the_gate() -> None:
    with zygote() as started:
        archive = bundle.build({"bundle.json": MANIFEST, "job.py": b"import time\ndef run(t, a): time.sleep(600)\n"})
        table = flat.to_memfd("t", [flat.int_column("n", np.arange(3))])
        fds = [memory.sealed_copy("a", [archive]), memory.fixed_output(40), table]
        ask = {"kind": "rows", "table": "t", "size": 2, "label": None, "positive": None}
        spec = {"tables": ["t"], "ask": ask, "seed": 0}
        frames.send(started.control, {"op": "run", "kind": "job", "limits": LIMITS, "spec": spec}, fds)
        frames.close_all(fds)
        while not (jails := children(started.process.pid)):
            time.sleep(0.01)
        started.control.shutdown(socket.SHUT_RDWR)
        assert started.process.wait(30) == 0
        assert not any(os.path.exists(f"/proc/{pid}") for pid in jails)


def children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()
