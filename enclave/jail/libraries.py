"""The libraries that a job finds loaded; importing them takes longer than most jobs.

Runs in: zygote.   Believes: the image.
"""

from __future__ import annotations

import importlib
import zoneinfo
from typing import Final

MODULES: Final = (
    "numpy", "numpy.random", "pandas", "pyarrow", "pyarrow.compute", "pyarrow.csv", "pyarrow.ipc",
    "pyarrow.pandas_compat", "pyarrow.parquet", "pyarrow.vendored.version", "scipy.sparse", "scipy.special",
    "scipy.stats", "sklearn.calibration", "sklearn.cluster", "sklearn.compose", "sklearn.decomposition",
    "sklearn.ensemble", "sklearn.feature_selection", "sklearn.impute", "sklearn.isotonic", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.model_selection", "sklearn.naive_bayes", "sklearn.neighbors", "sklearn.pipeline",
    "sklearn.preprocessing", "sklearn.svm", "sklearn.tree", "sealroom.enclave.jail.harness",
    "sealroom.enclave.jail.reader",
)  # fmt: skip


def warm() -> None:
    """Import them, and let each look at the machine where it would otherwise do so in the jail."""
    for name in MODULES:
        importlib.import_module(name)
    # threadpoolctl looks for its libraries in /proc/self/maps, which a jail cannot read. Private names: the version
    # of scikit-learn is pinned, and a job that needs this fails a test when they move.
    importlib.import_module("sklearn.utils.parallel")._get_threadpool_controller()  # noqa: SLF001
    # Time zones come from the tzdata package, which is part of the image, never from the machine.
    zoneinfo.reset_tzpath(to=())
