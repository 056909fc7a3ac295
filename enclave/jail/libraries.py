"""The libraries that readers and jobs find loaded; importing them takes longer than most jobs.

Runs in: zygote.   Believes: the image.
"""

from __future__ import annotations

import importlib
import zoneinfo
from typing import Final

READERS: Final = (
    "numpy", "pyarrow", "pyarrow.compute", "pyarrow.csv", "pyarrow.ipc", "pyarrow.parquet",
    "sealroom.enclave.jail.reader",
)  # fmt: skip
"""What parses owners' files; a run without hidden code needs no more."""
MODULES: Final = (
    "numpy", "numpy.random", "pandas", "pyarrow", "pyarrow.compute", "pyarrow.csv", "pyarrow.ipc",
    "pyarrow.pandas_compat", "pyarrow.parquet", "pyarrow.vendored.version", "scipy.sparse", "scipy.special",
    "scipy.stats", "sklearn.calibration", "sklearn.cluster", "sklearn.compose", "sklearn.decomposition",
    "sklearn.ensemble", "sklearn.feature_selection", "sklearn.impute", "sklearn.isotonic", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.model_selection", "sklearn.naive_bayes", "sklearn.neighbors", "sklearn.pipeline",
    "sklearn.preprocessing", "sklearn.svm", "sklearn.tree", "sealroom.enclave.jail.harness",
)  # fmt: skip
"""What jobs may use beside it."""


def warm_readers() -> None:
    """Import what readers use."""
    for name in READERS:
        importlib.import_module(name)
    # Time zones come from the tzdata package, which is part of the image, never from the machine.
    zoneinfo.reset_tzpath(to=())


def warm_jobs() -> None:
    """Import what jobs use, and let each look at the machine where it would otherwise do so in the jail."""
    for name in MODULES:
        importlib.import_module(name)
    # threadpoolctl looks for its libraries in /proc/self/maps, which a jail cannot read. Private names: the version
    # of scikit-learn is pinned, and a job that needs this fails a test when they move.
    importlib.import_module("sklearn.utils.parallel")._get_threadpool_controller()  # noqa: SLF001
