"""What a reader without a jail makes of a file: pyarrow and pandas in a process of their own, measured from outside.

Prints one JSON object: how it ended, its peak memory beyond the libraries' in bytes, seconds of processor time.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

MOST_MEMORY, MOST_SECONDS = 6 << 30, 20


def measure(path: Path) -> dict[str, float | str]:
    """Run `read` on a file in a fresh process; `how` is `read`, `refused`, `memory`, or the name of a signal."""
    ended = subprocess.run([sys.executable, "-m", __name__, path], capture_output=True, text=True, check=False)
    if ended.returncode < 0:
        return {"how": signal.Signals(-ended.returncode).name, "memory": 0.0, "seconds": 0.0}
    found: dict[str, float | str] = json.loads(ended.stdout.splitlines()[-1])
    return found


def read(path: Path) -> None:
    """Read a table as an analyst would."""
    import pyarrow.csv  # noqa: PLC0415 -- its memory is not counted
    import pyarrow.ipc  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    if path.suffix == ".csv":
        table = pyarrow.csv.read_csv(path)
    elif path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
    else:
        with pyarrow.ipc.open_file(str(path)) as file:
            table = file.read_all()
    for name in table.column_names if len(table.column_names) < 10 else ():
        column = table.column(name)
        if pyarrow.types.is_dictionary(column.type):
            column.cast(column.type.value_type).to_pandas()  # a table is written out before it is joined
    table.to_pandas()


def _peak() -> int:
    """Most bytes of memory that this program ever had; `ru_maxrss` would begin with those of whoever started it."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Measure one file."""
    import pandas  # noqa: PLC0415, ICN001, F401
    import pyarrow.dataset  # noqa: PLC0415, F401

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    before, peak = resource.getrusage(resource.RUSAGE_SELF), _peak()
    how = "read"
    try:
        read(Path(sys.argv[1]))
    except MemoryError:
        how = "memory"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it was refused
        how = "memory" if "memory" in str(error).lower() or "malloc" in str(error) else "refused"
    after = resource.getrusage(resource.RUSAGE_SELF)
    memory = _peak() - peak
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"how": how, "memory": memory, "seconds": round(seconds, 2)}))


if __name__ == "__main__":
    main()
