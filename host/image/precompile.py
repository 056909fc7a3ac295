"""Compiles sources to byte code that depends on nothing but them: a program of its own, run without site packages.

Runs in: operator's and owners' machines, before any run.   Believes: its caller.   Spec: §6.4.

Called as `PYTHONHASHSEED=0 python3 -s -S -B precompile.py FOLDER < names`. The code remembers each file by its name
relative to the image, and never looks at times: unchecked-hash files are what a read-only, measured image needs.
"""

from __future__ import annotations

import contextlib
import os
import py_compile
import sys


def main(folder: str) -> None:
    """Compile each file that standard input names, one per line; one that is not valid Python stays a source file."""
    os.umask(0o022)
    for line in sys.stdin:
        name = line.rstrip("\n")
        with contextlib.suppress(py_compile.PyCompileError):
            py_compile.compile(
                os.path.join(folder, name),
                dfile=name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


if __name__ == "__main__":
    main(sys.argv[1])
