"""Generated pages: `python -m tests.documents --write` makes them, `--check` fails when one is stale."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests import tcb

ROOT = Path(__file__).resolve().parent.parent
PAGES: dict[str, Callable[[], str]] = {"docs/TCB.md": tcb.render}


def main(mode: str) -> int:
    stale = []
    for name, render in PAGES.items():
        path, text = ROOT / name, render()
        if mode == "--write":
            path.write_text(text, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != text:
            stale.append(name)
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; refresh with: python -m tests.documents --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
