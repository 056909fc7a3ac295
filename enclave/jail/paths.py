"""The files that confined processes may still open for reading; all of them are public.

Runs in: zygote, engine.   Believes: the image.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from typing import Final

# loky asks these for the processor share of its container (control groups version 1 and 2).
_SHARE: Final = (
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/fs/cgroup/cpu.max",
)
# DuckDB ends the process when it can see these but not read them. They tell of other containers, so jobs do without.
_GROUPS: Final = ("/proc/self/cgroup", "/sys/fs/cgroup")


def libraries() -> tuple[str, ...]:
    """The standard library and the folder of the installed packages, wherever the image lies.

    Raises:
        ModuleNotFoundError: this interpreter has no numpy, so it is not the one for jobs.
    """
    found = importlib.util.find_spec("numpy")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("numpy")
    packages = os.path.dirname(os.path.dirname(os.path.realpath(found.origin)))
    standard = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return tuple(sorted(standard | {packages}))


def for_jails() -> tuple[str, ...]:
    """What jobs and readers may open."""
    return libraries() + tuple(path for path in _SHARE if os.path.exists(path))


def for_engine() -> tuple[str, ...]:
    """What the engine may open."""
    return libraries() + tuple(path for path in _GROUPS if os.path.exists(path))
