"""Command line of the image builder.

Runs in: operator's and owners' machines, before any run.   Believes: its arguments.   Spec: §6.4.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sealroom.host.image.build import Recipe, build
from sealroom.host.image.errors import BuildError


def main(arguments: list[str] | None = None) -> int:
    """Build the image that the command line asks for; 0 if it is up to date, 1 if it cannot be built."""
    parser = argparse.ArgumentParser(prog="sealroom.host.image", description="Build the image of an enclave.")
    parser.add_argument("command", choices=["build"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the image")
    parser.add_argument("--tsm", choices=["simulated", "hardware"], required=True, help="where evidence comes from")
    parser.add_argument("--kind", choices=["process", "container"], default="process", help="default: process")
    parser.add_argument("--python", default="/usr/local/bin/python3", help="interpreter inside the container")
    chosen = parser.parse_args(arguments)
    try:
        recipe = Recipe(kind=chosen.kind, platform=chosen.tsm, python=chosen.python)
        built = build(chosen.out.resolve(), recipe)
    except BuildError as error:
        print(f"sealroom: error: {error}", file=sys.stderr)
        return 1
    print(f"sealroom: image {chosen.out}: " + (f"built {', '.join(built)}" if built else "up to date"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
