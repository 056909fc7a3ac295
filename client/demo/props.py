"""Small things the acts need: a copy of an image with one byte changed, and purses as gauges.

Runs in: the demo.   Believes: nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from sealroom.client.entries import Amount
from sealroom.protocol.agreement import Purse


def tampered_copy(image: Path, copy: Path, victim: str) -> None:
    """A copy of an image folder in which one byte of one source file differs; other files are shared by hard link."""
    if copy.exists():
        shutil.rmtree(copy)
    subprocess.run(["cp", "-al", str(image), str(copy)], check=True)
    target = copy / victim
    changed = one_byte_changed(target.read_bytes())
    target.unlink()  # break the link: the original stays as it is
    target.write_bytes(changed)


def one_byte_changed(source: bytes) -> bytes:
    """A source file with one byte changed, in a comment if it has one: the program would do the same."""
    at = source.index(b"#") if b"#" in source else 0
    return source[: at + 1] + bytes([source[at + 1] ^ 1]) + source[at + 2 :]


def gauges(purse: Purse, spent: Amount) -> list[dict[str, Any]]:
    """A purse as gauges: epsilon if there is any, bits if there are any."""
    found = []
    for unit, total, used, scale in (
        ("epsilon", purse.epsilon, spent.epsilon, 1_000_000),
        ("bits", purse.bits, spent.bits, 1000),
    ):
        if total:
            found.append(
                {
                    "owner": purse.owner,
                    "population": purse.population,
                    "unit": unit,
                    "spent": round(used / scale, 2),
                    "total": round(total / scale, 2),
                }
            )
    return found
