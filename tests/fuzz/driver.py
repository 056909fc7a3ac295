"""Runs one target under atheris in this process: `python -m tests.fuzz.driver FAMILY TARGET -- <libFuzzer flags>`.

An input that takes too long or too much memory ends the process (libFuzzer's own limits); so does memory or a number of
open descriptors that grows from one block of inputs to the next.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import atheris

BLOCK = 20_000
"""Executions between two looks at memory and descriptors."""
MOST_GROWTH = 256 << 20
"""Bytes that memory may grow by after the first block: libFuzzer's corpus and Python's caches, and no leak."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Watch:
    """Counts executions, and looks at this process now and then."""

    def __init__(self) -> None:
        self.count = 0
        self.start = (0, 0)

    def tick(self) -> None:
        self.count += 1
        if self.count % BLOCK:
            return
        resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
        descriptors = len(os.listdir("/proc/self/fd"))
        if self.count == BLOCK:
            self.start = (resident, descriptors)
            return
        if resident - self.start[0] > MOST_GROWTH:
            raise MemoryError(f"memory grew by {(resident - self.start[0]) >> 20} MiB in {self.count} executions")
        if descriptors > self.start[1] + 4:
            raise OSError(f"{descriptors - self.start[1]} descriptors were left open in {self.count} executions")


def main(family: str, name: str, flags: list[str]) -> None:
    with atheris.instrument_imports(include=["sealroom"], enable_loader_override=False):
        from tests.fuzz import registry, shapes  # noqa: PLC0415 (instrumented as it is imported)

        target = registry.find(family, name)
    check, watch = target.prepare(), _Watch()

    def once(data: bytes) -> None:
        watch.tick()
        check(data)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return shapes.mutate(target.shape, data, rng)[:most]

    atheris.Setup([sys.argv[0], *flags], once, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[4:])
